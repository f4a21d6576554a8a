package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// consolePage is a page of the console. path returns the address of its n-th request.
type consolePage struct {
	name string
	path func(n int) string
}

func fixed(path string) func(int) string { return func(int) string { return path } }

// consoleWide returns searches by one to three words that most products have, each another one: an answer that is kept
// from a request before would not be measured.
func consoleWide(n int) string {
	words := []string{"sku", "year", "month", "color", "price", "prod", "oak", "red"}
	i, j, k := n%8, n/8%8, n/64%8
	chosen := []string{words[i]}
	for _, other := range []string{words[(i+j)%8], words[(i+j+k)%8]} {
		if !slices.Contains(chosen, other) {
			chosen = append(chosen, other)
		}
	}
	return strings.Join(chosen, " ")
}

// consolePages are all pages that one comes to without changing anything.
func (b *consoleBench) consolePages() []consolePage {
	product := func(n int) string { return consoleProduct(n * 7919 % b.Products) }
	search := func(words string) string { return "/products?" + url.Values{"q": {words}}.Encode() }
	return []consolePage{
		{"Now", fixed("/")},
		{"Products", fixed("/products")},
		{"Products, by what differs longest", fixed("/products?sort=differs")},
		{"Products, refused", fixed("/products?state=dead")},
		{"Products, changed at the dashboard", fixed("/products?cause=dashboard")},
		{"Products, search by words", func(n int) string { return search(fmt.Sprintf("table oak %d", n*7%1000)) }},
		{"Products, search by a common word", func(n int) string { return search(consoleWide(n)) }},
		{"a product", func(n int) string { return "/products/" + product(n) }},
		{"story of a change", func(n int) string {
			return fmt.Sprintf("/products/%s/story/%d", product(n), n*7919%b.Products+1)
		}},
		{"Find", func(n int) string {
			return "/find?" + url.Values{"id": {consoleID("price_", n*613%b.Products)}}.Encode()
		}},
		{"Activity", fixed("/activity")},
		{"Plan", fixed("/plan")},
		{"Plan, held", fixed("/plan?held=1")},
		{"Drift", fixed("/drift")},
		{"Dead letters", fixed("/dead")},
		{"Scans", fixed("/scans")},
		{"Settings", fixed("/settings")},
	}
}

// times measures calls, one after the other, after some that are not counted.
func (b *consoleBench) times(call func(n int) error) (out percentiles, err error) {
	const warm = 5
	var took []time.Duration
	before, err := b.processorTime()
	if err != nil {
		return out, err
	}
	for n := range b.Requests + warm {
		begun := time.Now()
		if err := call(n); err != nil {
			return out, err
		}
		if n >= warm {
			took = append(took, time.Since(begun))
		}
	}
	after, err := b.processorTime()
	if err != nil {
		return out, err
	}
	out = newPercentiles(took)
	out.CPU = (after - before) * 1000 / float64(b.Requests+warm)
	return out, nil
}

// processorTime returns the processor time of everything so far, in seconds. This process has the NATS server.
func (b *consoleBench) processorTime() (float64, error) {
	total, err := cpuOfGroup(b.postgres.Pid())
	if err != nil {
		return 0, err
	}
	pids := []int{os.Getpid()}
	for _, p := range b.services {
		pids = append(pids, p.cmd.Process.Pid)
	}
	for _, pid := range pids {
		own, err := cpuOf(pid, false)
		if err != nil {
			return 0, err
		}
		total += own
	}
	return total, nil
}

func newPercentiles(took []time.Duration) percentiles {
	if len(took) == 0 {
		return percentiles{}
	}
	slices.Sort(took)
	of := func(share int) float64 { return took[(len(took)*share-1)/100].Seconds() * 1000 }
	return percentiles{P50: of(50), P99: of(99), Max: of(100)}
}

func (b *consoleBench) measurePages(ctx context.Context) error {
	visitor, err := b.signIn(ctx, b.tokens[0])
	if err != nil {
		return err
	}
	for _, p := range b.consolePages() {
		if !strings.Contains(p.name, b.Page) {
			continue
		}
		took, err := b.times(func(n int) error { return b.get(ctx, visitor, p.path(n)) })
		if err != nil {
			return err
		}
		b.result.Pages = append(b.result.Pages, pageTimes{p.name, took})
	}
	if b.result.ResidentMB, err = b.resident(); err != nil {
		return err
	}
	return nil
}

func (b *consoleBench) resident() (float64, error) {
	return memory(b.services[consoleName].cmd.Process.Pid, "VmRSS")
}

// signIn returns a client with the session of a visitor.
func (b *consoleBench) signIn(ctx context.Context, token string) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	visitor := &http.Client{Jar: jar}
	form := strings.NewReader(url.Values{"token": {token}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url()+"/sign-in", form)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err = do(visitor, request)
	return visitor, err
}

// get reads a page to its end.
func (b *consoleBench) get(ctx context.Context, visitor *http.Client, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+path, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	_, err = do(visitor, request)
	return err
}

// do returns the page that answers a request.
func do(visitor *http.Client, request *http.Request) ([]byte, error) {
	response, err := visitor.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", request.URL.Path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %.300s", request.URL, response.Status, body)
	}
	return body, nil
}
