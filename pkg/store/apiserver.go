// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	extapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	extoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	openapiv3 "k8s.io/apiextensions-apiserver/pkg/controller/openapiv3"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	openapiutil "k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// keyPrefix keeps our keys apart from those of a Kubernetes cluster that uses
// the same etcd.
const keyPrefix = "/arca-network"

// apiServer is the API server, set up but not yet running.
type apiServer struct {
	server *extapiserver.CustomResourceDefinitions
	local  *memoryListener
	config *rest.Config
	certs  *certificates
}

// newAPIServer sets up an API server for custom resources by hand: the options
// of a Kubernetes API server ask for a Kubernetes around it.
func newAPIServer(ds *datastore, tcp net.Listener, c *certificates, finalizers finalizing) (*apiServer, error) {
	local := newMemoryListener()
	a := &apiServer{local: local, config: localConfig(local), certs: c}

	config := genericapiserver.NewRecommendedConfig(extapiserver.Codecs)
	config.EffectiveVersion = effectiveVersion()
	config.ExternalAddress = tcp.Addr().String()
	config.LoopbackClientConfig = rest.CopyConfig(a.config)
	config.MergedResourceConfig = extapiserver.DefaultAPIResourceConfigSource()
	config.EnableProfiling = false
	// Local clients only: the limits are against a runaway, not for fairness.
	config.MaxRequestsInFlight, config.MaxMutatingRequestsInFlight = 2000, 1000
	// Without this a shutdown waits a minute for the watches of others.
	config.ShutdownWatchTerminationGracePeriod = time.Second
	config.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		return mergeEventPatches(genericapiserver.DefaultBuildHandlerChain(handler, c))
	}
	config.AdmissionControl = admission.NewChainHandler(finalizers, anonymousStatus{})
	serveTLS(config, tcp, c)

	// Server-side apply on definitions reads this even if nobody else does.
	getDefinitions := openapiutil.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(getDefinitions,
		openapi.NewDefinitionNamer(extapiserver.Scheme, scheme.Scheme))
	config.OpenAPIV3Config.Info.Title = "Arca networking"

	etcd := etcdOptions(ds)
	if err := etcd.ApplyTo(&config.Config); err != nil {
		return nil, err
	}
	completed := (&extapiserver.Config{
		GenericConfig: config,
		ExtraConfig: extapiserver.ExtraConfig{
			CRDRESTOptionsGetter: extoptions.NewCRDRESTOptionsGetter(*etcd, config.ResourceTransformers, config.StorageObjectCountTracker),
			MasterCount:          1, // more would delay Established by five seconds
			ServiceResolver:      webhook.NewDefaultServiceResolver(),
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, config.LoopbackClientConfig, noop.NewTracerProvider()),
		},
	}).Complete()
	// Complete turned it off because a Kubernetes API server in front would
	// answer /apis. There is none, and without it no verb of kubectl works.
	completed.GenericConfig.EnableDiscovery = true

	var err error
	a.server, err = completed.New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	serveCore(a.server.GenericAPIServer.Handler.NonGoRestfulMux)
	return a, nil
}

func serveTLS(config *genericapiserver.RecommendedConfig, tcp net.Listener, c *certificates) {
	config.SecureServing = &genericapiserver.SecureServingInfo{Listener: tcp, Cert: c.server, ClientCA: c.ca}
	config.Authentication.Authenticator = newAuthenticator(c.ca)
	config.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
}

func etcdOptions(ds *datastore) *genericoptions.EtcdOptions {
	backend := storagebackend.NewDefaultConfig(keyPrefix,
		extapiserver.Codecs.LegacyCodec(v1beta1.SchemeGroupVersion, apiextensionsv1.SchemeGroupVersion))
	backend.Transport.ServerList = ds.endpoints
	backend.Transport.EgressLookup = ds.lookup()
	backend.CompactionInterval = ds.compaction
	backend.DBMetricPollInterval = 0
	options := genericoptions.NewEtcdOptions(backend)
	options.StorageConfig.CountMetricPollPeriod = 0
	// Measured with 12,000 objects: 33 MB without the cache, 135 MB with it.
	options.EnableWatchCache = false
	options.SkipHealthEndpoints = true
	options.EnableGarbageCollection = false
	return options
}

// run serves until ctx ends, then shuts down in order, and returns when nothing
// uses the datastore any more.
func (a *apiServer) run(ctx context.Context) error {
	prepared := a.server.GenericAPIServer.PrepareRun()
	// apiextensions starts this only together with OpenAPI v2, which costs
	// memory and which nobody needs; apply and explain need this one.
	documents := openapiv3.NewController(a.server.Informers.Apiextensions().V1().CustomResourceDefinitions())
	documented := make(chan struct{})
	besides, stopBesides := context.WithCancel(ctx)
	go func() {
		defer close(documented)
		documents.Run(a.server.GenericAPIServer.OpenAPIV3VersionedService, besides.Done())
	}()

	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.certs.client.Run(besides, 1)
	}()

	inProcess := &http.Server{
		Handler:           a.server.GenericAPIServer.Handler,
		ConnContext:       markInProcess,
		ReadHeaderTimeout: 30 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- inProcess.Serve(a.local) }()

	err := prepared.RunWithContext(ctx)

	stopBesides()
	<-documented
	<-followed
	err = errors.Join(err, inProcess.Close())
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	a.server.Informers.Shutdown()
	a.config.Transport.(*http.Transport).CloseIdleConnections()
	return err
}

// ready waits until every handler is in place.
func (a *apiServer) ready(ctx context.Context) error {
	client, err := rest.UnversionedRESTClientFor(withoutVersion(a.config))
	if err != nil {
		return err
	}
	var last error
	err = poll(ctx, func() (bool, error) {
		last = client.Get().AbsPath("/readyz").Do(ctx).Error()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("API server not ready: %w (%w)", err, last)
	}
	return nil
}

// settled waits until the API server can be stopped. Its crd-informer-synced
// hook takes a stop before its time for a failure and ends the process.
func (a *apiServer) settled(ctx context.Context) bool {
	for _, signal := range a.server.GenericAPIServer.MuxAndDiscoveryCompleteSignals() {
		select {
		case <-signal:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keepNotifySocket hides systemd's socket while the API server starts: it would
// report the service ready, and take the variable away from the real main.
func keepNotifySocket() (restore func()) {
	const name = "NOTIFY_SOCKET"
	value, set := os.LookupEnv(name)
	if !set {
		return func() {}
	}
	os.Unsetenv(name)
	return func() { os.Setenv(name, value) }
}
