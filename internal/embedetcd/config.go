package embedetcd

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// DefaultClientURL is where etcd listens unless told otherwise: where etcdctl
// looks for it unless told otherwise.
const DefaultClientURL = "http://127.0.0.1:2379"

const (
	memberName = "conductor"

	// peerURL is a mere name: nothing listens there, nobody calls it.
	peerURL = "http://127.0.0.1:2380"

	// retention is how much history stays readable. A watch that was away for
	// longer starts anew from a fresh read, which every watch of ours can do.
	retention = 10 * time.Minute

	defaultQuota    = 2 << 30
	defragThreshold = 100 // MB that a start must be able to free to defragment
)

// Config says what etcd to start. Only Dir must be set.
type Config struct {
	// Dir is etcd's data directory. It is made if need be, and is this
	// process's alone while the server runs (see [DirLock]): do not give it a
	// directory that the caller has locked itself, but one inside of that.
	Dir string

	// ClientURL is where etcd listens for clients, http://ADDRESS:PORT.
	// Empty: [DefaultClientURL]. Port 0: any free port, see [Server.Endpoint].
	ClientURL string

	// QuotaBytes is the size at which the database refuses writes until it is
	// compacted and defragmented. Zero: 2 GiB.
	QuotaBytes int64

	// Logger gets etcd's warnings and errors, and the rest as debug.
	// Nil: nothing is logged.
	Logger *slog.Logger
}

func etcdConfig(cfg Config, listen url.URL, log *zap.Logger) *embed.Config {
	advertise := listen
	if ip := net.ParseIP(listen.Hostname()); ip != nil && ip.IsUnspecified() {
		advertise.Host = net.JoinHostPort("127.0.0.1", listen.Port())
	}
	peer := url.URL{Scheme: "http", Host: peerURL[len("http://"):]}

	c := embed.NewConfig()
	c.Name = memberName
	c.Dir = cfg.Dir
	c.ListenClientUrls = []url.URL{listen}
	c.AdvertiseClientUrls = []url.URL{advertise}
	c.ListenPeerUrls = nil
	c.AdvertisePeerUrls = []url.URL{peer}
	c.InitialCluster = memberName + "=" + peerURL
	// The token gives each data directory a cluster id of its own. It counts on
	// the first start only; later the id is read from the data.
	c.InitialClusterToken = memberName + "-" + rand.Text()

	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = retention.String()
	c.QuotaBackendBytes = cfg.QuotaBytes
	if c.QuotaBackendBytes == 0 {
		c.QuotaBackendBytes = defaultQuota
	}
	c.BootstrapDefragThresholdMegabytes = defragThreshold

	// Heartbeat and election time stay etcd's own 100 ms and 1 s: a member
	// alone elects itself at once, whatever they are.
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return c
}

func listenURL(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultClientURL
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("etcd listen address: %w", err)
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("etcd listen address %q: it must start with http://;"+
			" for TLS run an etcd of your own and use --etcd-endpoints", text)
	}
	if u.Port() == "" || u.Path != "" || (net.ParseIP(u.Hostname()) == nil && u.Hostname() != "localhost") {
		return nil, fmt.Errorf("etcd listen address %q: it must be http://ADDRESS:PORT with an IP address, as in %s",
			text, DefaultClientURL)
	}
	return u, nil
}

func warnIfExposed(log *slog.Logger, listen *url.URL) {
	if ip := net.ParseIP(listen.Hostname()); ip != nil && !ip.IsLoopback() {
		log.Warn("the embedded etcd has no TLS and no passwords, and listens beyond loopback:"+
			" whoever reaches it owns every node", "listen", listen.Host)
	}
}

func freePort(host string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
