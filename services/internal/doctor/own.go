package doctor

import (
	"slices"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// everyService are the services, in the order of the way of a change.
var everyService = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

// makers are the services that make the checks of a group by themselves, each of its own part.
var makers = map[string][]string{
	"database": {topology.Ingestion},
	"mapping":  {topology.Ingestion},
	"ledger":   {topology.Reconciliation},
	"services": {topology.Reconciliation},
}

// makersOf are the same for checks of the other groups, and for checks that differ from their group. A test checks that
// it has all of them. No service (nil) makes a check that needs the rights of the user topology on NATS, the monitoring
// ports, or the way from outside.
var makersOf = map[string][]string{
	ConfigSettings:      everyService,
	ConfigToken:         {topology.Ingestion, topology.Reconciliation},
	ConfigWebhookSecret: {topology.Pull},

	NATSReachable:   everyService,
	NATSJetStream:   everyService,
	NATSVersion:     everyService,
	NATSReplicas:    everyService,
	NATSPermissions: everyService,

	StripeReachable:       {topology.Push, topology.Pull},
	StripeKey:             {topology.Push, topology.Pull},
	StripeVersion:         {topology.Push, topology.Pull},
	StripeMode:            {topology.Push, topology.Pull},
	StripeReadProducts:    {topology.Push, topology.Pull},
	StripeReadPrices:      {topology.Push, topology.Pull},
	StripeReadEvents:      {topology.Pull},
	StripeWriteProducts:   {topology.Push},
	StripeWritePrices:     {topology.Push},
	StripeWebhook:         {topology.Pull},
	StripeWebhookStatus:   {topology.Pull},
	StripeWebhookEvents:   {topology.Pull},
	StripeWebhookVersion:  {topology.Pull},
	StripeWebhookURL:      {topology.Pull},
	StripeWebhookDelivery: {topology.Pull},

	ClocksHost:     everyService,
	ClocksDatabase: {topology.Ingestion},
	ClocksNATS:     everyService,
	ClocksStripe:   {topology.Pull},

	NATSStream:          nil,
	NATSBucket:          nil,
	NATSConsumer:        nil,
	NATSCluster:         nil,
	NATSSync:            nil,
	StripeWebhookSecret: nil,
	ServicesReachable:   nil,
	ServicesToken:       nil,
}

// LeftToActive is the reason of a standby that does not make a check. It says nothing about what the active replica
// found.
const LeftToActive = "the active replica looks at this"

// Makers returns the services whose processes make a check by themselves. None means that only driftless doctor makes
// it.
func Makers(id string) []string {
	if services, ok := makersOf[id]; ok {
		return slices.Clone(services)
	}
	return slices.Clone(makers[GroupOf(id)])
}

// OwnChecks returns the ids of the checks that the processes of a service make by themselves, in the order of Checks.
// Reconciliation makes those of the group services when it is asked, and the others from time to time.
func OwnChecks(service string) (ids []string) {
	for _, c := range Checks() {
		if slices.Contains(Makers(c.ID), service) && c.Group() != GroupOf(ServicesReady) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}
