// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/go-logr/logr"
	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

// metrics are of all servers of the process.
var metrics = grpcprometheus.NewServerMetrics(
	grpcprometheus.WithServerHandlingTimeHistogram(grpcprometheus.WithHistogramBuckets(
		[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30})))

func init() { ctrlmetrics.Registry.MustRegister(metrics) }

// The order: what recovers is innermost, so that a panic is counted and logged
// as the INTERNAL that it becomes.
func unaryInterceptors(log logr.Logger) []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{
		metrics.UnaryServerInterceptor(),
		logging.UnaryServerInterceptor(logger(log), loggingOptions...),
		tellWhenToAskAgain(log),
		recovery.UnaryServerInterceptor(recovered(log)),
	}
}

// tellWhenToAskAgain has clients that repeat a call by themselves do so where the
// server goes away, and tell their caller at once where the store is: that lasts
// longer, and the answer took long enough. The trailer is that of gRPC's retries
// (https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback).
func tellWhenToAskAgain(log logr.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		response, err := handle(ctx, request)
		if status.Code(err) != codes.Unavailable || status.Convert(err).Message() == errStopping.Error() {
			return response, err
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "-1")); err != nil {
			log.Error(err, "The client is not told that asking again does not help")
		}
		return response, err
	}
}

func streamInterceptors(log logr.Logger) []grpc.StreamServerInterceptor {
	return []grpc.StreamServerInterceptor{
		metrics.StreamServerInterceptor(),
		logging.StreamServerInterceptor(logger(log), loggingOptions...),
		recovery.StreamServerInterceptor(recovered(log)),
	}
}

func recovered(log logr.Logger) recovery.Option {
	return recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		log.Error(fmt.Errorf("%v", p), "Panic in a call", "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "a mistake of arca-network's; its log has more")
	})
}

var loggingOptions = []logging.Option{
	logging.WithLogOnEvents(logging.FinishCall),
	logging.WithDisableLoggingFields(logging.SystemTag[0], logging.SystemTag[1], logging.ComponentFieldKey, "protocol", "grpc.method_type",
		"grpc.start_time", "grpc.request.deadline"),
	logging.WithDurationField(logging.DurationToDurationField),
	logging.WithLevels(func(code codes.Code) logging.Level {
		switch code {
		case codes.OK, codes.Canceled:
			return logging.LevelDebug
		case codes.Internal, codes.Unknown, codes.DataLoss:
			return logging.LevelError
		}
		return logging.LevelInfo
	}),
}

func logger(log logr.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ context.Context, level logging.Level, _ string, fields ...any) {
		l := log
		if level == logging.LevelDebug {
			l = log.V(1)
		}
		l.Info("Call finished", fields...)
	})
}
