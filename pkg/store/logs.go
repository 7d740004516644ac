// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"io"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
)

// redirectLogs sends what kine says to our log. It logs through logrus, which
// is one for the process.
func redirectLogs(log logr.Logger) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.WarnLevel)
	hooks := logrus.LevelHooks{}
	hooks.Add(kineHook{log.WithName("kine")})
	logrus.StandardLogger().ReplaceHooks(hooks)
}

type kineHook struct{ log logr.Logger }

func (h kineHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h kineHook) Fire(e *logrus.Entry) error {
	if e.Level <= logrus.WarnLevel {
		h.log.Info("Message of the datastore", "level", e.Level.String(), "message", e.Message)
	}
	return nil
}
