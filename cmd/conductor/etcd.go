package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/pkg/lease"
)

// etcdOptions say which etcd, and as whom.
type etcdOptions struct {
	endpoints       []string
	prefix          string
	ca, cert, key   string
	user            string
	answerIn, retry time.Duration
}

// flags of everybody who talks to etcd. The words are those of etcdctl, and its
// variables count when nothing else is said.
func (o *etcdOptions) flags(f *pflag.FlagSet, retry time.Duration) {
	f.StringVar(&o.prefix, "etcd-prefix", lease.DefaultRoot, "prefix of all keys in etcd")
	f.StringVar(&o.ca, "etcd-cacert", "", "file with the certificates that etcd's is checked against")
	f.StringVar(&o.cert, "etcd-cert", "", "file with our certificate for etcd")
	f.StringVar(&o.key, "etcd-key", "", "file with the key of --etcd-cert")
	f.StringVar(&o.user, "etcd-user", "", "user of etcd, as NAME:PASSWORD")
	f.DurationVar(&o.answerIn, "etcd-timeout", 5*time.Second, "how long etcd may take to answer")
	f.DurationVar(&o.retry, "etcd-wait", retry, "how long to try again while etcd does not answer at the start")
	annotate(f, "etcd-cacert", fallbackEnv, "ETCDCTL_CACERT")
	annotate(f, "etcd-cert", fallbackEnv, "ETCDCTL_CERT")
	annotate(f, "etcd-key", fallbackEnv, "ETCDCTL_KEY")
	annotate(f, "etcd-user", fallbackEnv, "ETCDCTL_USER")
}

// clientFlags are flags and the endpoints, for verbs that need no conductor.
func (o *etcdOptions) clientFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.endpoints, "etcd-endpoints", []string{embedetcd.DefaultClientURL}, "where etcd is")
	annotate(f, "etcd-endpoints", fallbackEnv, "ETCDCTL_ENDPOINTS")
	o.flags(f, 0)
}

func (o *etcdOptions) root() string {
	if strings.HasSuffix(o.prefix, "/") {
		return o.prefix
	}
	return o.prefix + "/"
}

func (o *etcdOptions) clientConfig() (clientv3.Config, error) {
	c := clientv3.Config{
		Endpoints:            o.endpoints,
		DialTimeout:          o.answerIn,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		Logger:               zap.NewNop(),
		DialOptions:          []grpc.DialOption{grpc.WithChainUnaryInterceptor(o.elsewhere)},
	}
	if o.user != "" {
		var ok bool
		if c.Username, c.Password, ok = strings.Cut(o.user, ":"); !ok {
			return c, usage(errors.New("--etcd-user: want NAME:PASSWORD"))
		}
	}
	if (o.cert == "") != (o.key == "") {
		return c, usage(errors.New("--etcd-cert and --etcd-key belong together"))
	}
	if o.ca != "" || o.cert != "" || len(o.endpoints) > 0 && strings.HasPrefix(o.endpoints[0], "https://") {
		info := transport.TLSInfo{TrustedCAFile: o.ca, CertFile: o.cert, KeyFile: o.key}
		tls, err := info.ClientConfig()
		if err != nil {
			return c, usage(fmt.Errorf("TLS files for etcd: %w", err))
		}
		c.TLS = tls
	}
	return c, nil
}

// connect returns a client of an etcd that has answered and whose keys are of a
// layout that this program knows.
func (o *etcdOptions) connect(ctx context.Context) (*clientv3.Client, error) {
	c, err := o.clientConfig()
	if err != nil {
		return nil, err
	}
	return o.open(ctx, c)
}

func (o *etcdOptions) open(ctx context.Context, c clientv3.Config) (client *clientv3.Client, err error) {
	err = o.again(ctx, c.Endpoints, func(ctx context.Context) error {
		if client, err = clientv3.New(c); err != nil { // logs in, if there is a user
			return err
		}
		if err = checkSchema(ctx, client, o.root()); err != nil {
			_ = client.Close()
		}
		return err
	})
	if errors.Is(err, errUnreachable) && ctx.Err() == nil {
		if why := whyAway(ctx, c); why != nil {
			err = noAnswer(c.Endpoints, why)
		}
	}
	if err != nil {
		return nil, err
	}
	client.Auth = &oneLogin{Auth: client.Auth, free: make(chan struct{}, 1)}
	return client, nil
}

// again does something with etcd, for --etcd-timeout at most, and while etcd does
// not answer it does so again, for --etcd-wait.
func (o *etcdOptions) again(ctx context.Context, endpoints []string, fn func(context.Context) error) error {
	start := time.Now()
	for {
		try, cancel := context.WithTimeout(ctx, o.answerIn)
		err := unanswered(endpoints, fn(try))
		cancel()
		if !errors.Is(err, errUnreachable) || ctx.Err() != nil || time.Since(start) >= o.retry {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unanswered tells an etcd that is away from one that refuses.
func unanswered(endpoints []string, err error) error {
	code := status.Code(err)
	if errors.Is(err, context.DeadlineExceeded) || code == codes.Unavailable || code == codes.DeadlineExceeded {
		return noAnswer(endpoints, err)
	}
	return err
}

func noAnswer(endpoints []string, why error) error {
	return &kindError{errUnreachable, fmt.Errorf("etcd at %s does not answer: %w", joinComma(endpoints), why)}
}
