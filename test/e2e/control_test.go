// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

// dial remembers where the control API is.
func (w *world) dial(ts *testscript.TestScript, args []string) (err error) {
	w.target, w.tls = args[0], nil
	if len(args) > 1 {
		dir := ts.MkAbs(args[1])
		w.tls, err = transport.ClientTLS(transport.Files{
			Cert: filepath.Join(dir, "client.crt"), Key: filepath.Join(dir, "client.key"), CA: filepath.Join(dir, "ca.crt"),
		})
	}
	return err
}

// call is a host daemon's call. What it answers is written as JSON to standard
// output, an error as "CODE: message" to standard error.
func (w *world) call(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: call METHOD REQUEST")
	}
	target := w.target
	if target == "" {
		target = "unix://" + filepath.Join(w.run, "control.sock")
	}
	c, err := control.Dial(target, w.tls)
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	service := controlpb.File_api_control_network_proto.Services().ByName("NetworkControl")
	method := service.Methods().ByName(protoreflect.Name(args[0]))
	if method == nil {
		ts.Fatalf("no method %s", args[0])
	}
	request, response := newMessage(ts, method.Input()), newMessage(ts, method.Output())
	document := []byte(args[1])
	if file, ok := strings.CutPrefix(args[1], "@"); ok {
		document = []byte(ts.ReadFile(file))
	}
	ts.Check(protojson.Unmarshal(document, request))
	path := "/" + string(service.FullName()) + "/" + args[0]
	if method.IsStreamingServer() {
		err = stream(ctx, ts, c.Conn(), path, request, response)
	} else if err = c.Conn().Invoke(ctx, path, request, response); err == nil {
		_, err = fmt.Fprintln(ts.Stdout(), protojson.MarshalOptions{UseProtoNames: true}.Format(response))
	}
	if err != nil {
		fmt.Fprintf(ts.Stderr(), "%s: %s\n", status.Code(err), status.Convert(err).Message())
	}
	if (err != nil) != neg {
		ts.Fatalf("unexpected outcome: %v", err)
	}
}

func newMessage(ts *testscript.TestScript, of protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	ts.Check(err)
	return t.New().Interface()
}

// stream writes the events of a watch up to the one that says it has told all.
func stream(ctx context.Context, ts *testscript.TestScript, conn *grpc.ClientConn, path string, request, response proto.Message) error {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return err
	}
	if err := s.SendMsg(request); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for {
		if err := s.RecvMsg(response); err != nil {
			return err
		}
		fmt.Fprintln(ts.Stdout(), protojson.MarshalOptions{UseProtoNames: true}.Format(response))
		if e, ok := response.(*controlpb.WatchEvent); ok && e.Type == controlpb.WatchEvent_SYNCED {
			return nil
		}
	}
}
