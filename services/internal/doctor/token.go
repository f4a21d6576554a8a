package doctor

import "net"

// JudgeToken records whether an API that asks for no token listens beyond this machine.
func JudgeToken(r *Recorder, api, address string) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		r.Foundf(ConfigToken, "", "%s listens on %s, and neither DRIFTLESS_TOKEN nor DRIFTLESS_TOKENS is set", api, address)
	}
}
