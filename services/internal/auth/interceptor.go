package auth

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
)

// Rule is what an RPC needs.
type Rule struct {
	Role Role
	// DryRun reports whether the request has a field dry_run with which Read is enough.
	DryRun bool
}

// Rules are the rules of RPCs by procedure: "/driftless.control.v1.ControlService/Plan".
type Rules map[string]Rule

// Interceptor refuses calls that need another role than the caller's, and RPCs without a rule. It is a server's.
func (r Rules) Interceptor() connect.Interceptor { return interceptor{r} }

type interceptor struct{ rules Rules }

// WrapUnary checks a call of one request.
func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := i.check(ctx, req.Spec().Procedure, req.Any()); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// WrapStreamingClient changes nothing: clients have no principal.
func (interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler checks a stream before its first message. It knows no dry run.
func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := i.check(ctx, conn.Spec().Procedure, nil); err != nil {
			return err
		}
		return next(ctx, conn)
	}
}

func (i interceptor) check(ctx context.Context, procedure string, request any) error {
	rule, known := i.rules[procedure]
	method := procedure[strings.LastIndexByte(procedure, '/')+1:]
	if !known || rule.Role == 0 {
		return connect.NewError(connect.CodePermissionDenied,
			fmt.Errorf("%s has no rule that says who may call it: this is a fault of Driftless", method))
	}
	need := rule.Role
	if dry, ok := request.(interface{ GetDryRun() bool }); rule.DryRun && ok && dry.GetDryRun() {
		need = Read
	}
	p := From(ctx)
	if p.Role >= need {
		return nil
	}
	has := fmt.Sprintf("the token %s has the role %s", p.Token, p.Role)
	if p.Actor != "" {
		has = fmt.Sprintf("%s has the role %s", p.Name(), p.Role)
	}
	return connect.NewError(connect.CodePermissionDenied, fmt.Errorf(
		"%s needs the role %s, and %s: use a token with the role %s (`driftless token new NAME --role %s` makes one)",
		method, need, has, need, need))
}
