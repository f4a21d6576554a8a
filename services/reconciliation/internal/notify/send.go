package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// sendTimeout bounds one attempt. Receivers answer within seconds.
const sendTimeout = 10 * time.Second

// sender sends notifications to a target.
type sender struct {
	url string
	// sign is nil for a target of Slack's form.
	sign   *standardwebhooks.Webhook
	client *http.Client
}

// newSender returns the sender to a URL. An empty secret means Slack's form.
func newSender(address, secret string) (*sender, error) {
	u, err := config.ParseNotifyURL(address)
	if err != nil {
		return nil, err
	}
	s := &sender{url: address, client: newClient(u.Hostname())}
	if secret != "" {
		if s.sign, err = standardwebhooks.NewWebhook(secret); err != nil {
			return nil, errors.New("DRIFTLESS_NOTIFY_SECRET is not a secret of Standard Webhooks")
		}
	}
	return s, nil
}

// newClient returns a client for a host. It follows no redirects, because they may lead anywhere. It connects to this
// machine only if the host names it, and never to link-local addresses: there, clouds serve credentials of the machine.
func newClient(host string) *http.Client {
	allowLoopback := config.IsLoopback(host)
	dialer := &net.Dialer{
		Timeout: sendTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %s: %w", address, err)
			}
			ip := at.Addr().Unmap()
			if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsLoopback() && !allowLoopback {
				return fmt.Errorf("the name leads to %s, where no notification is sent", ip)
			}
			return nil
		},
	}
	return &http.Client{
		Timeout: sendTimeout,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   sendTimeout,
			ResponseHeaderTimeout: sendTimeout,
			IdleConnTimeout:       time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send makes one attempt. id is the same in every attempt, so that a receiver can drop repetitions. The error does not
// have the URL, which may be a secret.
func (s *sender) send(ctx context.Context, id string, at time.Time, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, nil)
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	if s.sign == nil {
		m := message{}
		if err := json.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("read the stored notification: %w", err)
		}
		if body, err = json.Marshal(map[string]string{"text": slackText(m)}); err != nil {
			return fmt.Errorf("encode the notification: %w", err)
		}
	} else {
		signature, err := s.sign.Sign(id, at, body)
		if err != nil {
			return fmt.Errorf("sign the notification: %w", err)
		}
		req.Header.Set(standardwebhooks.HeaderWebhookID, id)
		req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
		req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "driftless")
	resp, err := s.client.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		// Its text has the URL.
		err = failed.Err
	}
	if err != nil {
		return fmt.Errorf("%s did not answer: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	// The rest of the answer says nothing that is used. Reading it keeps the connection.
	_, _ = io.CopyN(io.Discard, resp.Body, 64*1024)
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode < 400:
		return fmt.Errorf("%s answered with a redirect (status %d), which is not followed: configure the final URL",
			req.URL.Host, resp.StatusCode)
	case isRefusal(resp.StatusCode):
		return fmt.Errorf("%w: %s answered with status %d", ledger.ErrRefused, req.URL.Host, resp.StatusCode)
	default:
		return fmt.Errorf("%s answered with status %d", req.URL.Host, resp.StatusCode)
	}
}

// isRefusal reports whether a target that answers so would not take the same notification later.
func isRefusal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}
