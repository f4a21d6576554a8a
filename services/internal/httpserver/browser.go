package httpserver

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// browserGuard refuses requests from web pages. A page reaches a server on the operator's own machine in two ways. It
// sends a request to another origin, which shows in Origin and Sec-Fetch-Site. Or its own name resolves to 127.0.0.1
// and the browser sees one origin (DNS rebinding), which shows in Host.
type browserGuard struct {
	// loopback reports whether the server listens on a loopback address.
	loopback bool
	// allowedHosts are the accepted names besides those of this machine.
	allowedHosts []string
	// signedPaths are the paths whose requests have a signature. They are not checked.
	signedPaths []string
}

func newBrowserGuard(cfg Config, addr net.Addr) browserGuard {
	b := browserGuard{signedPaths: cfg.SignedPaths}
	if tcp, ok := addr.(*net.TCPAddr); ok {
		b.loopback = tcp.IP.IsLoopback()
	}
	for _, host := range cfg.AllowedHosts {
		b.allowedHosts = append(b.allowedHosts, hostname(host))
	}
	return b
}

func (b browserGuard) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(b.signedPaths, r.URL.Path) {
			if !b.acceptsHost(r.Host) {
				forbid(w, fmt.Sprintf(
					"the name %q in the Host header is not one of this server's names: if a proxy or client of yours uses it, "+
						"add it to DRIFTLESS_ALLOWED_HOSTS", shorten(r.Host)))
				return
			}
			if isCrossOrigin(r) {
				forbid(w, "the request comes from a web page of another origin: pages may not use this server")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// acceptsHost reports whether a Host header may name this server. Any address is accepted if the server is not on a
// loopback address, because an address cannot be rebound as a name can. Such a server does not know all of its
// addresses, such as those of pods.
func (b browserGuard) acceptsHost(host string) bool {
	if !b.loopback && len(b.allowedHosts) == 0 {
		return true
	}
	name := hostname(host)
	if name == "localhost" || slices.Contains(b.allowedHosts, name) {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && (ip.IsLoopback() || !b.loopback)
}

// isCrossOrigin reports whether a page of another origin makes the request. Following a link to a page that changes
// nothing is allowed.
func isCrossOrigin(r *http.Request) bool {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if safe && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return false
	}
	// CrossOriginProtection accepts every GET.
	asPost := r.WithContext(r.Context())
	asPost.Method = http.MethodPost
	return (&http.CrossOriginProtection{}).Check(asPost) != nil
}

// hostname returns the name or the address in a Host header, without the port.
func hostname(host string) string {
	u := url.URL{Host: host}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
}

// shorten bounds the text of a request that an answer repeats.
func shorten(s string) string {
	const longest = 100
	if len(s) <= longest {
		return s
	}
	return s[:longest] + "..."
}

// forbid answers in the form of Connect's errors.
func forbid(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": "permission_denied", "message": message})
}
