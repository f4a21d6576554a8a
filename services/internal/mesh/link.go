package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ErrLinked is the error of Link when Stripe's product stands for another product of the catalog.
var ErrLinked = errors.New("stands for another product of the catalog")

// LinkStore is the bucket LINK: which product of the catalog a Stripe product of another id stands for. Its methods may
// be called concurrently, from any number of processes.
type LinkStore struct{ m *Mesh }

// Links gives access to the bucket LINK.
func (m *Mesh) Links() *LinkStore { return &LinkStore{m} }

func linkKey(account, stripeID string) string { return account + "." + topology.Token(stripeID) }

// Product is the catalog's id of the product for which the Stripe product stands; "" if it stands for none, or for that
// of its own id. In a cluster a replica may answer that lags by a moment.
func (s *LinkStore) Product(ctx context.Context, account, stripeID string) (string, error) {
	stream, err := s.m.stream(ctx, "KV_"+topology.BucketLink)
	if err != nil {
		return "", err
	}
	msg, err := s.m.lastOf(ctx, stream, "$KV."+topology.BucketLink+"."+linkKey(account, stripeID))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the link of %s: %w", stripeID, err)
	case msg.Header.Get("KV-Operation") != "":
		return "", nil
	}
	return string(msg.Data), nil
}

// Put lets a Stripe product stand for a product of the catalog; ErrLinked if it stands for another. To store a link
// twice is no error.
func (s *LinkStore) Put(ctx context.Context, account, stripeID, product string) error {
	kv, err := s.m.bucket(ctx, topology.BucketLink)
	if err != nil {
		return err
	}
	_, err = kv.Create(ctx, linkKey(account, stripeID), []byte(product))
	if !errors.Is(err, jetstream.ErrKeyExists) {
		if err != nil {
			return fmt.Errorf("link %s to product %s: %w", stripeID, product, err)
		}
		return nil
	}
	held, err := s.Product(ctx, account, stripeID)
	switch {
	case err != nil:
		return err
	case held != product:
		return fmt.Errorf("%s %w: %s", stripeID, ErrLinked, held)
	}
	return nil
}

// Delete takes back what Link has stored; nothing if the Stripe product stands for another.
func (s *LinkStore) Delete(ctx context.Context, account, stripeID, product string) error {
	held, err := s.Product(ctx, account, stripeID)
	if err != nil || held != product {
		return err
	}
	kv, err := s.m.bucket(ctx, topology.BucketLink)
	if err != nil {
		return err
	}
	// Not Purge, which needs roll-ups: the bucket keeps no older values.
	if err := kv.Delete(ctx, linkKey(account, stripeID)); err != nil {
		return fmt.Errorf("unlink %s from product %s: %w", stripeID, product, err)
	}
	return nil
}
