// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package logging makes the loggers of the programs: zap behind logr. It reads no
// flags and logs nothing itself.
package logging

import (
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// New logs to standard error: for people on a terminal, as JSON else.
func New(format string, verbosity int) (logr.Logger, func(), error) {
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
	return zapr.NewLogger(z), func() { _ = z.Sync() }, nil
}
