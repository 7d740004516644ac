// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"

	"github.com/vas-solutus/arca-network/pkg/store/internal/etcdlog"
)

// The libraries in here log through globals that cannot be changed while they
// are in use. They are pointed once to what the latest Options.Log is. What
// they say is for debugging but for errors.

var (
	currentLog  atomic.Pointer[logr.Logger]
	captureOnce sync.Once
)

// captureLogs sends the libraries' logs to log.
func captureLogs(log logr.Logger) {
	currentLog.Store(&log)
	captureOnce.Do(func() {
		klog.SetLogger(logr.New(librarySink{name: "apiserver"}))
		logrus.SetOutput(io.Discard)
		logrus.AddHook(kineHook{})
		etcdlog.Output.Store(&etcdWriter)
	})
}

func libraryLog() logr.Logger { return *currentLog.Load() }

// librarySink is klog's way to Options.Log.
type librarySink struct {
	name   string
	values []any
}

func (s librarySink) Init(logr.RuntimeInfo)  {}
func (s librarySink) Enabled(level int) bool { return libraryLog().V(level + 1).Enabled() }

func (s librarySink) Info(level int, msg string, kv ...any) {
	libraryLog().WithName(s.name).V(level+1).Info(msg, append(s.values[:len(s.values):len(s.values)], kv...)...)
}

func (s librarySink) Error(err error, msg string, kv ...any) {
	libraryLog().WithName(s.name).Error(err, msg, append(s.values[:len(s.values):len(s.values)], kv...)...)
}

func (s librarySink) WithName(name string) logr.LogSink {
	s.name += "." + name
	return s
}

func (s librarySink) WithValues(kv ...any) logr.LogSink {
	s.values = append(s.values[:len(s.values):len(s.values)], kv...)
	return s
}

// kineHook is logrus's way to Options.Log.
type kineHook struct{}

func (kineHook) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel, logrus.InfoLevel}
}

func (kineHook) Fire(e *logrus.Entry) error {
	log := libraryLog().WithName("kine")
	if e.Level <= logrus.ErrorLevel {
		log.Error(nil, e.Message)
	} else {
		log.V(1).Info(e.Message)
	}
	return nil
}

// etcdWriter is the etcd clients' way to Options.Log: lines of JSON. They warn
// of what they return as an error as well.
var etcdWriter io.Writer = writerFunc(func(line []byte) {
	var entry struct {
		Msg   string `json:"msg"`
		Error string `json:"error"`
	}
	if json.NewDecoder(bytes.NewReader(line)).Decode(&entry) != nil {
		entry.Msg = string(bytes.TrimSpace(line))
	}
	libraryLog().WithName("etcd-client").V(1).Info(entry.Msg, "error", entry.Error)
})

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// detached keeps the values of a context but not its end.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(ctx))
}
