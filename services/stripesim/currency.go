package stripesim

import "strings"

// currencies are the codes that Stripe accepts (https://docs.stripe.com/currencies, and the constants of stripe-go).
var currencies = func() map[string]bool {
	codes := strings.Fields(`
		aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd btn bwp byn bzd cad cdf
		chf clp cny cop crc cve czk djf dkk dop dzd eek egp etb eur fjd fkp gbp gel ghs gip gmd gnf gtq gyd hkd hnl
		hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl ltl lvl mad mdl
		mga mkd mmk mnt mop mro mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar
		ron rsd rub rwf sar sbd scr sek sgd shp sle sll sos srd std svc szl thb tjs tnd top try ttd twd tzs uah ugx
		usd usdc uyu uzs vef vnd vuv wst xaf xcd xcg xof xpf yer zar zmw`)
	known := make(map[string]bool, len(codes))
	for _, code := range codes {
		known[code] = true
	}
	return known
}()

func unknownCurrency(param, code string) *refusal {
	return invalid("", param, "Invalid currency: %s. Stripe currently supports these currencies: %s", code,
		strings.Join(sortedKeys(currencies), ", "))
}
