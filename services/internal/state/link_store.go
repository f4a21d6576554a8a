package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ErrLinked is the error of LinkStore.Put if the Stripe product is linked to another product of the catalog.
var ErrLinked = errors.New("is linked to another product of the catalog")

// LinkStore is the bucket LINK: the catalog's product for each Stripe product that was adopted under another id. Safe
// for concurrent use, also by several processes.
type LinkStore struct{ m *mesh.Mesh }

// Links returns the store of the bucket LINK.
func (s *Stores) Links() *LinkStore { return &LinkStore{s.m} }

func linkKey(account, stripeID string) string { return account + "." + topology.Token(stripeID) }

// Product returns the catalog's id of the product that the Stripe product is linked to; "" if there is no link. In a
// cluster the answer may come from a replica that lags slightly.
func (s *LinkStore) Product(ctx context.Context, account, stripeID string) (string, error) {
	subject := "$KV." + topology.BucketLink + "." + linkKey(account, stripeID)
	msg, err := s.m.BucketStream(topology.BucketLink).Last(ctx, subject)
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

// Put links a Stripe product to a product of the catalog. It returns ErrLinked if it is linked to another. Storing the
// same link again is not an error.
func (s *LinkStore) Put(ctx context.Context, account, stripeID, product string) error {
	kv, err := s.m.Bucket(ctx, topology.BucketLink)
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
	linked, err := s.Product(ctx, account, stripeID)
	switch {
	case err != nil:
		return err
	case linked != product:
		return fmt.Errorf("%s %w: %s", stripeID, ErrLinked, linked)
	}
	return nil
}

// Delete removes the link that Put stored. It does nothing if the Stripe product is linked to another product.
func (s *LinkStore) Delete(ctx context.Context, account, stripeID, product string) error {
	linked, err := s.Product(ctx, account, stripeID)
	if err != nil || linked != product {
		return err
	}
	kv, err := s.m.Bucket(ctx, topology.BucketLink)
	if err != nil {
		return err
	}
	// Purge would need roll-ups. The bucket keeps no older values in any case.
	if err := kv.Delete(ctx, linkKey(account, stripeID)); err != nil {
		return fmt.Errorf("unlink %s from product %s: %w", stripeID, product, err)
	}
	return nil
}
