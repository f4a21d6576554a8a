package stripeprobe

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// OfPush returns the probes that push makes with its own key. They cost three reads.
func (a *Account) OfPush() []doctor.Probe {
	return []doctor.Probe{
		a.key(),
		a.rights(rightsTo(
			doctor.StripeReadProducts, doctor.StripeReadPrices, doctor.StripeWriteProducts, doctor.StripeWritePrices,
		)),
		a.ownMode(),
	}
}

// OfPull returns the probes that pull makes with its own key. They cost seven reads. Pull sends itself no event:
// whether it has the secret of the endpoint is seen only from outside.
func (a *Account) OfPull() []doctor.Probe {
	return []doctor.Probe{
		a.key(),
		a.rights(rightsTo(doctor.StripeReadProducts, doctor.StripeReadPrices, doctor.StripeReadEvents)),
		a.ownMode(),
		a.webhooks(nil),
		a.deliveries(),
		a.ownClock(),
	}
}

// rightsTo returns the rights of some checks.
func rightsTo(ids ...string) (out []right) {
	for _, id := range ids {
		for _, r := range rights {
			if r.id == id {
				out = append(out, r)
			}
		}
	}
	return out
}

// ownMode is the probe of the mode for a process that is connected to NATS anyway.
func (a *Account) ownMode() doctor.Probe {
	p := a.mode()
	p.Needs = nil
	return p
}

// ownClock compares Stripe's clock only with that of this machine.
func (a *Account) ownClock() doctor.Probe {
	return doctor.Probe{
		Name: "Stripe's clock", Covers: []string{doctor.ClocksStripe},
		Run: func(ctx context.Context, r *doctor.Recorder) error {
			clock := a.Clock()
			ahead, err := clock.Read(ctx)
			if err == nil {
				doctor.JudgeClocks(r, []doctor.ClockReading{{ID: clock.ID, Name: clock.Name, Ahead: ahead}})
			}
			return err
		},
	}
}
