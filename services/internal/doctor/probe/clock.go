package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// clocks compares the clocks of all servers with the clock of this machine.
type clocks struct {
	database Database
	nats     *connection
	stripe   *account
	// now is the clock of this machine.
	now func() time.Time
}

func (c clocks) probe() doctor.Probe {
	return doctor.Probe{
		Name: "clocks",
		Covers: []string{
			doctor.ClocksHost, doctor.ClocksDatabase, doctor.ClocksNATS, doctor.ClocksStripe,
		},
		Run: c.look,
	}
}

func (c clocks) look(ctx context.Context, r *doctor.Recorder) error {
	var readings []doctor.ClockReading
	for _, clock := range []struct {
		id, name string
		read     func(context.Context) (time.Duration, error)
	}{
		{doctor.ClocksDatabase, "the database server", c.readDatabase},
		{doctor.ClocksNATS, "the NATS server", c.readNATS},
		{doctor.ClocksStripe, "Stripe", c.readStripe},
	} {
		ahead, err := clock.read(ctx)
		if err != nil {
			r.NotLooked(err.Error(), clock.id)
			continue
		}
		readings = append(readings, doctor.ClockReading{ID: clock.id, Name: clock.name, Ahead: ahead})
	}
	doctor.JudgeClocks(r, readings)
	return nil
}

// ahead returns how far a clock is ahead of this machine's, if it showed a time between sent and now.
func (c clocks) ahead(sent, there time.Time) time.Duration {
	took := c.now().Sub(sent)
	return there.Sub(sent.Add(took / 2))
}

func (c clocks) readDatabase(ctx context.Context) (time.Duration, error) {
	if c.database.URL == "" {
		return 0, errors.New(c.database.Unset + " is not set")
	}
	conn, err := c.database.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var there time.Time
	sent := c.now()
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
		return 0, fmt.Errorf("read the time of the database server: %w", err)
	}
	return c.ahead(sent, there), nil
}

func (c clocks) readNATS(ctx context.Context) (time.Duration, error) {
	if c.nats.Client.URL == "" {
		return 0, errors.New("NATS_URL is not set")
	}
	if err := c.nats.open(ctx); err != nil {
		return 0, err
	}
	m, err := c.nats.get()
	if err != nil {
		return 0, err
	}
	// The clock of the mesh keeps what it measured before.
	stream, err := m.JetStream().Stream(ctx, clockStream)
	if err != nil {
		return 0, fmt.Errorf("read the time of the NATS server: %w", err)
	}
	sent := c.now()
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the time of the NATS server: %w", err)
	}
	return c.ahead(sent, info.TimeStamp), nil
}

func (c clocks) readStripe(ctx context.Context) (time.Duration, error) {
	if c.stripe.Client.Key == "" {
		return 0, errNoKey
	}
	sent := c.now()
	look := c.stripe.client.LookAtList(ctx, "GET /v1/products")
	if look.At.IsZero() {
		return 0, errors.New("Stripe does not tell its time")
	}
	return c.ahead(sent, look.At), nil
}
