// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	extapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	extinformers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions"
	extoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	openapiv3controller "k8s.io/apiextensions-apiserver/pkg/controller/openapiv3"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// registryPrefix is where objects are in the datastore.
const registryPrefix = "/registry/arca-network"

// startServer builds the API server for custom resources and runs it.
func (s *Store) startServer(o Options, datastore storagebackend.TransportConfig) error {
	certificates, err := ensureCertificates(o.Dir)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	listener, err := listen(o.Dir, o.Listen)
	if err != nil {
		return err
	}
	if err := writeKubeconfig(s.KubeconfigPath(), listener.Addr().String(), certificates); err != nil {
		_ = listener.Close()
		return fmt.Errorf("kubeconfig: %w", err)
	}
	memory := newMemoryListener()
	token := make([]byte, 32)
	if _, err := rand.Read(token); err != nil {
		return err
	}
	s.config = &rest.Config{
		Host:          "http://arca-network.invalid", // the dialer knows where it is
		BearerToken:   hex.EncodeToString(token),
		Dial:          memory.Dial,
		QPS:           -1,
		ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	}

	config, err := serverConfig(datastore, listener, certificates, s.config)
	if err != nil {
		return err
	}
	completed := config.Complete()
	// Complete turns it off for an API that an aggregator stands in front of;
	// kubectl finds nothing without it.
	completed.GenericConfig.EnableDiscovery = true
	server, err := completed.New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	serveCoreStub(server.GenericAPIServer)
	prepared := server.GenericAPIServer.PrepareRun()

	ctx, cancel := context.WithCancel(context.Background())
	s.stopServer = cancel
	startOpenAPI(ctx, server)

	local := &http.Server{
		Handler:           server.GenericAPIServer.Handler,
		ReadHeaderTimeout: 30 * time.Second,
		// Requests of this process end with it.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() { _ = local.Serve(memory) }()
	go func() {
		defer close(s.serverDone)
		err := prepared.RunWithContext(ctx)
		if ctx.Err() == nil {
			s.err = errors.Join(errors.New("the API server ended by itself"), err)
		}
		stop, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		if local.Shutdown(stop) != nil {
			_ = local.Close()
		}
	}()
	return nil
}

func serverConfig(datastore storagebackend.TransportConfig, listener net.Listener, certificates *certificates, loopback *rest.Config) (*extapiserver.Config, error) {
	generic := genericapiserver.NewRecommendedConfig(extapiserver.Codecs)
	generic.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	generic.ExternalAddress = listener.Addr().String()
	generic.MergedResourceConfig = extapiserver.DefaultAPIResourceConfigSource()
	generic.EnableProfiling = false
	generic.FlowControl = nil // our own clients only
	generic.ShutdownDelayDuration = 0
	generic.ShutdownWatchTerminationGracePeriod = 0
	generic.RequestTimeout = 30 * time.Second
	generic.LoopbackClientConfig = loopback
	generic.SecureServing = &genericapiserver.SecureServingInfo{
		Listener: listener,
		Cert:     certificates.server,
		ClientCA: certificates.ca,
	}
	generic.Authentication.Authenticator = x509.NewDynamic(certificates.ca.VerifyOptions, x509.CommonNameUserConversion)
	generic.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(
		openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions),
		openapinamer.NewDefinitionNamer(extapiserver.Scheme, scheme.Scheme))

	storage := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(registryPrefix,
		extapiserver.Codecs.LegacyCodec(schema.GroupVersion{Group: apiextensionsv1.GroupName, Version: "v1"})))
	storage.StorageConfig.Transport.ServerList = datastore.ServerList
	storage.StorageConfig.Transport.CertFile = datastore.CertFile
	storage.StorageConfig.Transport.KeyFile = datastore.KeyFile
	storage.StorageConfig.Transport.TrustedCAFile = datastore.TrustedCAFile
	storage.StorageConfig.CompactionInterval = 0 // kine compacts
	storage.StorageConfig.CountMetricPollPeriod = 0
	storage.StorageConfig.DBMetricPollInterval = 0
	storage.EnableWatchCache = false // 33 MB instead of 135 with 12,000 objects
	storage.SkipHealthEndpoints = true
	if err := storage.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	return &extapiserver.Config{
		GenericConfig: generic,
		ExtraConfig: extapiserver.ExtraConfig{
			CRDRESTOptionsGetter: extoptions.NewCRDRESTOptionsGetter(*storage, generic.ResourceTransformers, generic.StorageObjectCountTracker),
			MasterCount:          1,
			ServiceResolver:      webhook.NewDefaultServiceResolver(),
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, loopback, nil),
		},
	}, nil
}

// startOpenAPI publishes the schemas of custom resources, which the server
// itself does only where OpenAPI v2 is configured too.
func startOpenAPI(ctx context.Context, server *extapiserver.CustomResourceDefinitions) {
	var informers extinformers.SharedInformerFactory = server.Informers
	c := openapiv3controller.NewController(informers.Apiextensions().V1().CustomResourceDefinitions())
	go c.Run(server.GenericAPIServer.OpenAPIV3VersionedService, ctx.Done())
}

// readyTimeout bounds the start. A cold start takes about half a second.
const readyTimeout = 30 * time.Second

// awaitReady asks /readyz until it says yes. The server has no event for it.
func (s *Store) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client, err := rest.HTTPClientFor(s.config)
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("no answer")
	for {
		if last = readyz(ctx, client, s.config.Host); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("embedded API: not ready: %w", last)
		case <-s.serverDone:
			return fmt.Errorf("embedded API: %w", s.err)
		case <-tick.C:
		}
	}
}

func readyz(ctx context.Context, client *http.Client, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s", res.Status)
	}
	return nil
}
