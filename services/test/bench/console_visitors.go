package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// measureVisitors measures the first page while visitors look at it, and read it again at every event. A product
// changes its state every second.
func (b *consoleBench) measureVisitors(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, consoleVisitors)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for i := range b.Visitors {
		group.Go(func() error {
			visitor, err := b.signIn(ctx, b.tokens[i%len(b.tokens)])
			if err != nil {
				return err
			}
			return b.look(ctx, visitor, func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			})
		})
	}
	group.Go(func() error { return b.toggle(ctx) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	b.result.Visitors, b.result.WithVisitors, b.result.ReadAgain = b.Visitors, newPercentiles(took), len(took)
	resident, err := b.resident()
	if err != nil {
		return err
	}
	b.result.ResidentWithVisitorsMB = resident
	b.result.PeakMB, err = b.services[consoleName].peakMemory()
	return err
}

// look opens the first page and follows the events as its script does, until ctx ends.
func (b *consoleBench) look(ctx context.Context, visitor *http.Client, note func(time.Duration)) error {
	shown, err := b.readNow(ctx, visitor, "", "")
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+"/live", nil)
	if err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	response, err := visitor.Do(request)
	if err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/live answered %s", response.Status)
	}
	event := ""
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		told, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok || event != "status" {
			continue
		}
		begun := time.Now()
		if shown, err = b.readNow(ctx, visitor, shown, strings.TrimSpace(told)); err != nil {
			return err
		}
		note(time.Since(begun))
	}
	return ctx.Err()
}

// readNow reads the first page, again if it has shown something and was told about something later. It returns the mark
// of what the page shows then.
func (b *consoleBench) readNow(ctx context.Context, visitor *http.Client, shown, told string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+"/", nil)
	if err != nil {
		return "", fmt.Errorf("read the first page: %w", err)
	}
	if shown != "" {
		request.Header.Set("Hx-Request", "true")
		if told != "" {
			request.Header.Set("Driftless-Read", shown+" "+told)
		}
	}
	body, err := do(visitor, request)
	_, rest, _ := strings.Cut(string(body), `data-read="`)
	mark, _, _ := strings.Cut(rest, `"`)
	return mark, err
}

// toggle changes the state of a product every second, until ctx ends.
func (b *consoleBench) toggle(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for states := [2]string{"pending", "in_sync"}; ; states[0], states[1] = states[1], states[0] {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if _, err := b.pool.Exec(context.WithoutCancel(ctx), `UPDATE driftless_ledger.product SET state = $1
			WHERE account = $2 AND product_id = $3`, states[0], topology.DefaultAccount, consoleProduct(1)); err != nil {
			return fmt.Errorf("change a product: %w", err)
		}
	}
}
