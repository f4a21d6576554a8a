package stripesim

// The admin API exists only in the simulator; Stripe has nothing like it. The package's documentation lists its calls.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// idAnswer has the id of a new object.
type idAnswer struct {
	ID string `json:"id"`
}

func (s *Sim) admin() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
			v, err := h(r)
			writeAdmin(w, v, err)
		})
	}
	handle("GET /_sim/faults", func(*http.Request) (any, error) { return s.Faults(), nil })
	handle("POST /_sim/faults", func(r *http.Request) (any, error) {
		f, err := readJSON[Fault](r)
		if err != nil {
			return nil, err
		}
		added, err := s.AddFault(f)
		if err != nil {
			return nil, badRequest(err)
		}
		return added, nil
	})
	handle("DELETE /_sim/faults", func(*http.Request) (any, error) { s.ClearFaults(); return struct{}{}, nil })
	handle("DELETE /_sim/faults/{id}", func(r *http.Request) (any, error) {
		if !s.RemoveFault(r.PathValue("id")) {
			return nil, missing(http.StatusNotFound, "fault", r.PathValue("id"), "id")
		}
		return struct{}{}, nil
	})
	handle("GET /_sim/requests", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		f := RequestFilter{Object: q.Get("object"), Operation: q.Get("operation"), KeyPrefix: q.Get("key_prefix")}
		if n := q.Get("limit"); n != "" {
			var err error
			if f.Limit, err = strconv.Atoi(n); err != nil {
				return nil, badRequest(fmt.Errorf("limit must be a number, not %q", n))
			}
		}
		return s.Requests(f), nil
	})
	handle("DELETE /_sim/requests", func(*http.Request) (any, error) { s.ClearRequests(); return struct{}{}, nil })
	handle("GET /_sim/stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	handle("DELETE /_sim/stats", func(*http.Request) (any, error) { s.ResetStats(); return struct{}{}, nil })
	handle("GET /_sim/limits", func(*http.Request) (any, error) { return s.Limits(), nil })
	handle("PUT /_sim/limits", func(r *http.Request) (any, error) {
		l, err := readJSON[Limits](r)
		if err == nil {
			s.SetLimits(l)
		}
		return l, err
	})
	handle("POST /_sim/reset", func(*http.Request) (any, error) { return struct{}{}, s.Reset() })
	handle("POST /_sim/dashboard/products", func(r *http.Request) (any, error) {
		return s.atDashboard(r, func(d *Dashboard, form url.Values) (string, error) { return d.CreateProduct(form) })
	})
	handle("POST /_sim/dashboard/products/{id}", func(r *http.Request) (any, error) {
		return s.atDashboard(r, func(d *Dashboard, form url.Values) (string, error) {
			return r.PathValue("id"), d.EditProduct(r.PathValue("id"), form)
		})
	})
	handle("DELETE /_sim/dashboard/products/{id}", func(r *http.Request) (any, error) {
		return s.atDashboard(r, func(d *Dashboard, _ url.Values) (string, error) {
			return r.PathValue("id"), d.DeleteProduct(r.PathValue("id"), r.URL.Query().Get("with_prices") == "true")
		})
	})
	handle("POST /_sim/dashboard/prices", func(r *http.Request) (any, error) {
		return s.atDashboard(r, func(d *Dashboard, form url.Values) (string, error) {
			return d.CreatePrice(form, r.URL.Query().Get("inline") == "true")
		})
	})
	handle("POST /_sim/dashboard/prices/{id}", func(r *http.Request) (any, error) {
		return s.atDashboard(r, func(d *Dashboard, form url.Values) (string, error) {
			return r.PathValue("id"), d.EditPrice(r.PathValue("id"), form)
		})
	})
	handle("DELETE /_sim/dashboard/prices/{id}", func(r *http.Request) (any, error) {
		return s.atDashboard(r, func(d *Dashboard, _ url.Values) (string, error) {
			return r.PathValue("id"), d.DeletePrice(r.PathValue("id"))
		})
	})
	s.handleUses(handle)
	return mux
}

// handleUses adds the calls that make and change what uses prices.
func (s *Sim) handleUses(handle func(pattern string, h func(r *http.Request) (any, error))) {
	create := func(path string, do func(*Dashboard, url.Values) (string, error)) {
		handle("POST "+path, func(r *http.Request) (any, error) { return s.atDashboard(r, do) })
	}
	edit := func(path string, do func(*Dashboard, string, url.Values) error) {
		handle("POST "+path+"/{id}", func(r *http.Request) (any, error) {
			return s.atDashboard(r, func(d *Dashboard, form url.Values) (string, error) {
				return r.PathValue("id"), do(d, r.PathValue("id"), form)
			})
		})
	}
	create("/_sim/dashboard/subscriptions", (*Dashboard).CreateSubscription)
	edit("/_sim/dashboard/subscriptions", (*Dashboard).EditSubscription)
	create("/_sim/dashboard/payment_links", (*Dashboard).CreatePaymentLink)
	edit("/_sim/dashboard/payment_links", (*Dashboard).EditPaymentLink)
}

func (s *Sim) atDashboard(r *http.Request, do func(d *Dashboard, form url.Values) (string, error)) (any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, badRequest(err)
	}
	d := s.Dashboard()
	q := r.URL.Query()
	d.Account, d.Live, d.Silent = q.Get("account"), q.Get("livemode") == "true", q.Get("silent") == "true"
	id, err := do(d, r.PostForm)
	if err != nil {
		return nil, err
	}
	return idAnswer{id}, nil
}

func readJSON[T any](r *http.Request) (T, error) {
	var v T
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, badRequest(fmt.Errorf("the request's body is invalid: %w", err))
	}
	return v, nil
}

func badRequest(err error) *refusal {
	return &refusal{status: http.StatusBadRequest, kind: typeInvalid, message: err.Error()}
}

// writeAdmin answers with a value, or with an error in Stripe's form.
func writeAdmin(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		var r *refusal
		if !errors.As(err, &r) {
			r = &refusal{status: http.StatusInternalServerError, kind: typeAPI, message: err.Error()}
		}
		status, v = r.status, r.body("", false)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(v), '\n'))
}
