package natsprobe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// userInfoPatience is how long the answer may take. A server that refuses the request does not answer.
const userInfoPatience = 2 * time.Second

// lookAtPermissions compares the rights of the client's user with those that its service needs.
func (c *Connection) lookAtPermissions(ctx context.Context, r *doctor.Recorder) error {
	m, err := c.Get()
	if err != nil {
		return err
	}
	needed, err := permissionsOf(c.Config)
	if err != nil {
		return err
	}
	err = askUserInfo(ctx, r, m.Conn(), needed)
	if errors.Is(err, errMayNotAsk) {
		lacking, err := refusedSubjects(ctx, m.Conn(), needed.Publish)
		if err != nil {
			return err
		}
		doctor.JudgePermissions(r, needed.User, lacking, nil)
		return nil
	}
	return err
}

// OwnPermissions is the probe of a service that compares the rights of its own user with those that it needs. It only
// asks: to try what is refused would fill the log of the server. The connection is its own, because a refusal is an
// error of the connection, and the errors of the service's own are in its log.
func OwnPermissions(cfg Config) doctor.Probe {
	return doctor.Probe{
		Name: "the permissions on NATS", Covers: []string{doctor.NATSPermissions},
		Run: func(ctx context.Context, r *doctor.Recorder) error {
			needed, err := permissionsOf(cfg)
			if err != nil {
				return err
			}
			nc, err := mesh.Dial(cfg.Client, "driftless-doctor")
			if err != nil {
				return err
			}
			defer nc.Close()
			return askUserInfo(ctx, r, nc, needed)
		},
	}
}

// permissionsOf returns what the user of a client needs. It works without the right to ask for its rights.
func permissionsOf(cfg Config) (topology.Permissions, error) {
	all := topology.UserPermissions(cfg.Topology)
	i := slices.IndexFunc(all, func(p topology.Permissions) bool { return p.User == cfg.Client.Name })
	if i < 0 {
		return topology.Permissions{}, fmt.Errorf("no service is called %s", cfg.Client.Name)
	}
	needed := all[i]
	needed.Publish = slices.DeleteFunc(needed.Publish, func(s string) bool { return s == topology.UserInfo })
	return needed, nil
}

// errMayNotAsk reports that the user may not ask for its rights.
var errMayNotAsk = fmt.Errorf("NATS does not say which rights the user has: let it publish on %s", topology.UserInfo)

// askUserInfo asks the server for the rights of the user of a connection, and judges them.
func askUserInfo(ctx context.Context, r *doctor.Recorder, nc *nats.Conn, needed topology.Permissions) error {
	asking, cancel := context.WithTimeout(ctx, userInfoPatience)
	defer cancel()
	msg, err := nc.RequestWithContext(asking, topology.UserInfo, nil)
	switch {
	case err == nil:
		return judgeUserInfo(r, needed, msg.Data)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrPermissionViolation):
		return errMayNotAsk
	default:
		return fmt.Errorf("ask NATS for the rights of the user: %w", err)
	}
}

func judgeUserInfo(r *doctor.Recorder, needed topology.Permissions, data []byte) error {
	var answer struct {
		Data struct {
			User        string `json:"user"`
			Permissions struct {
				Publish   *doctor.SubjectRights `json:"publish"`
				Subscribe *doctor.SubjectRights `json:"subscribe"`
			} `json:"permissions"`
		} `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("read NATS' answer about the user: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("ask NATS for the rights of the user: %s", answer.Error.Description)
	}
	doctor.JudgePermissions(r, needed.User, answer.Data.Permissions.Publish.Lacking(needed.Publish),
		answer.Data.Permissions.Subscribe.Lacking(needed.Subscribe))
	return nil
}

// violation finds the subject in the server's error about a message that the client may not publish.
var violation = regexp.MustCompile(`(?i)publish to "([^"]+)"`)

// refusedSubjects publishes a message without an effect on each subject, and returns those that the server refuses.
// The last message is on a subject that is known to be refused: once its refusal arrives, all have.
func refusedSubjects(ctx context.Context, nc *nats.Conn, subjects []string) ([]string, error) {
	var mu sync.Mutex
	refused := map[string]bool{}
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		found := violation.FindStringSubmatch(err.Error())
		if found == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if refused[found[1]] = true; found[1] == topology.UserInfo {
			end()
		}
	})
	concrete := map[string]string{}
	for _, pattern := range subjects {
		if strings.HasPrefix(pattern, "$JS.ACK.") {
			// An acknowledgement always has an effect.
			continue
		}
		concrete[pattern] = strings.NewReplacer("*", "driftless-doctor", ">", "driftless-doctor").Replace(pattern)
		if err := nc.PublishMsg(harmless(concrete[pattern])); err != nil {
			return nil, fmt.Errorf("try subject %s: %w", pattern, err)
		}
	}
	if err := nc.Publish(topology.UserInfo, nil); err != nil {
		return nil, fmt.Errorf("try subject %s: %w", topology.UserInfo, err)
	}
	waiting, cancel := context.WithTimeout(ctx, userInfoPatience)
	defer cancel()
	select {
	case <-ended:
	case <-waiting.Done():
		return nil, errMayNotAsk
	}
	mu.Lock()
	defer mu.Unlock()
	var out []string
	for _, pattern := range subjects {
		if refused[concrete[pattern]] {
			out = append(out, pattern)
		}
	}
	return out, nil
}

// harmless returns a message that has no effect wherever it arrives. No stream stores it, because it names another
// one. JetStream's API ignores it, because it has no reply subject and its body is no JSON.
func harmless(subject string) *nats.Msg {
	return &nats.Msg{
		Subject: subject,
		Header:  nats.Header{jetstream.ExpectedStreamHeader: {"driftless-doctor"}},
		Data:    []byte("?"),
	}
}
