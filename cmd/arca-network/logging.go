// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// newLogger logs to standard error: for people on a terminal, as JSON else.
func newLogger(format string, verbosity int) (logr.Logger, func(), error) {
	if format == "auto" {
		format = "json"
		if term.IsTerminal(int(os.Stderr.Fd())) {
			format = "text"
		}
	}
	var c zap.Config
	switch format {
	case "json":
		c = zap.NewProductionConfig()
		c.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	case "text":
		c = zap.NewDevelopmentConfig()
		c.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		c.DisableCaller = true
	default:
		return logr.Logger{}, nil, fmt.Errorf("--log-format: %q: must be auto, text or json", format)
	}
	c.Sampling = nil
	c.DisableStacktrace = true
	c.Level = zap.NewAtomicLevelAt(zapcore.Level(-verbosity))
	z, err := c.Build()
	if err != nil {
		return logr.Logger{}, nil, err
	}
	log := zapr.NewLogger(z)
	ctrl.SetLogger(log)
	// What libraries say of themselves is a detail.
	klog.SetLogger(log.WithName("klog").V(1))
	return log, func() { _ = z.Sync() }, nil
}
