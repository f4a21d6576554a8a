package service

import (
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

// Guard returns the rules that the settings describe.
func Guard(s config.Guard) guard.Config {
	return guard.Config{
		AmountChange:   s.GuardAmountChange,
		ZeroAmount:     s.GuardZeroAmount,
		NoActivePrice:  s.GuardNoActivePrice,
		NoDefaultPrice: s.GuardNoDefaultPrice,
		Prices:         guard.Limit{Share: s.GuardPriceShare, Least: s.GuardPriceLeast},
		Currencies:     guard.Limit{Share: s.GuardCurrencyShare, Least: s.GuardCurrencyLeast},
		Products:       guard.Limit{Share: s.GuardShare, Least: s.GuardLeast},
		Approvers:      s.GuardApprovers,
	}
}
