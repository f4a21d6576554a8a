package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
)

// stub answers as the services do in situations that are hard to create with real ones. It is a handler and, with the
// methods that matter, a client.
type stub struct {
	controlv1connect.UnimplementedControlServiceHandler
	ingestv1connect.UnimplementedIngestServiceHandler

	plan         func() (*controlv1.PlanResponse, error)
	planAfter    func(after string) (*controlv1.PlanResponse, error)
	status       func() (*controlv1.GetStatusResponse, error)
	products     func(*controlv1.ListProductsRequest) (*controlv1.ListProductsResponse, error)
	listDrift    func() (*controlv1.ListDriftResponse, error)
	retries      func() (*controlv1.ListRetriesResponse, error)
	processes    func() (*controlv1.ListProcessesResponse, error)
	activity     func(*controlv1.ListActivityRequest) (*controlv1.ListActivityResponse, error)
	approve      func(*controlv1.ApproveRequest) (*controlv1.ApproveResponse, error)
	getScan      func() (*controlv1.GetScanResponse, error)
	waitCaptured func(context.Context) error
	list         func(*controlv1.ListDeadLettersRequest) (*controlv1.ListDeadLettersResponse, error)
	get          func(*controlv1.GetDeadLettersRequest) (*controlv1.GetDeadLettersResponse, error)
	replay       func(*controlv1.ReplayDeadLettersRequest) (*controlv1.ReplayDeadLettersResponse, error)
	drop         func(*controlv1.DropDeadLettersRequest) (*controlv1.DropDeadLettersResponse, error)
}

func (s *stub) ListDeadLetters(_ context.Context,
	req *connect.Request[controlv1.ListDeadLettersRequest]) (*connect.Response[controlv1.ListDeadLettersResponse],
	error,
) {
	return answer(s.list(req.Msg))
}

func (s *stub) GetDeadLetters(_ context.Context,
	req *connect.Request[controlv1.GetDeadLettersRequest]) (*connect.Response[controlv1.GetDeadLettersResponse],
	error,
) {
	return answer(s.get(req.Msg))
}

func (s *stub) ListProcesses(ctx context.Context,
	req *connect.Request[controlv1.ListProcessesRequest]) (*connect.Response[controlv1.ListProcessesResponse],
	error,
) {
	if s.processes == nil {
		return s.UnimplementedControlServiceHandler.ListProcesses(ctx, req)
	}
	return answer(s.processes())
}

func (s *stub) ReplayDeadLetters(_ context.Context,
	req *connect.Request[controlv1.ReplayDeadLettersRequest]) (*connect.Response[controlv1.ReplayDeadLettersResponse],
	error,
) {
	return answer(s.replay(req.Msg))
}

func (s *stub) DropDeadLetters(_ context.Context,
	req *connect.Request[controlv1.DropDeadLettersRequest]) (*connect.Response[controlv1.DropDeadLettersResponse],
	error,
) {
	return answer(s.drop(req.Msg))
}

func (s *stub) Plan(_ context.Context,
	req *connect.Request[controlv1.PlanRequest],
) (*connect.Response[controlv1.PlanResponse], error) {
	if s.planAfter != nil {
		return answer(s.planAfter(req.Msg.GetAfter()))
	}
	return answer(s.plan())
}

func (s *stub) SyncProducts(context.Context,
	*connect.Request[controlv1.SyncProductsRequest],
) (*connect.Response[controlv1.SyncProductsResponse], error) {
	return connect.NewResponse(&controlv1.SyncProductsResponse{RereadId: "ours"}), nil
}

func (s *stub) Reread(context.Context,
	*connect.Request[controlv1.RereadRequest],
) (*connect.Response[controlv1.RereadResponse], error) {
	return connect.NewResponse(&controlv1.RereadResponse{Id: "ours"}), nil
}

func (s *stub) GetStatus(context.Context,
	*connect.Request[controlv1.GetStatusRequest],
) (*connect.Response[controlv1.GetStatusResponse], error) {
	return answer(s.status())
}

func (s *stub) ListDrift(context.Context,
	*connect.Request[controlv1.ListDriftRequest],
) (*connect.Response[controlv1.ListDriftResponse], error) {
	return answer(s.listDrift())
}

func (s *stub) ListRetries(context.Context,
	*connect.Request[controlv1.ListRetriesRequest],
) (*connect.Response[controlv1.ListRetriesResponse], error) {
	return answer(s.retries())
}

func (s *stub) ListActivity(_ context.Context,
	req *connect.Request[controlv1.ListActivityRequest],
) (*connect.Response[controlv1.ListActivityResponse], error) {
	return answer(s.activity(req.Msg))
}

func (s *stub) Approve(_ context.Context, req *connect.Request[controlv1.ApproveRequest],
) (*connect.Response[controlv1.ApproveResponse], error) {
	return answer(s.approve(req.Msg))
}

func (s *stub) StartScan(context.Context,
	*connect.Request[controlv1.StartScanRequest],
) (*connect.Response[controlv1.StartScanResponse], error) {
	return connect.NewResponse(&controlv1.StartScanResponse{Id: "ours"}), nil
}

func (s *stub) GetScan(context.Context,
	*connect.Request[controlv1.GetScanRequest],
) (*connect.Response[controlv1.GetScanResponse], error) {
	return answer(s.getScan())
}

func (s *stub) WaitCaptured(ctx context.Context,
	_ *connect.Request[ingestv1.WaitCapturedRequest],
) (*connect.Response[ingestv1.WaitCapturedResponse], error) {
	if s.waitCaptured != nil {
		if err := s.waitCaptured(ctx); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&ingestv1.WaitCapturedResponse{}), nil
}

func answer[T any](msg *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(msg), nil
}

// serve serves the stub until the test ends.
func (s *stub) serve(t *testing.T) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(controlv1connect.NewControlServiceHandler(s))
	mux.Handle(ingestv1connect.NewIngestServiceHandler(s))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
