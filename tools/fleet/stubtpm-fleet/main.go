// Stubtpm-fleet says, and finds out, which host of a fleet owns which vTPM.
//
// Synopsis:
//
//	stubtpm-fleet [options] claim -host HOST -approver KEY UUID
//	stubtpm-fleet [options] hand-over -host HOST -at EPOCH -to HOST UUID
//	stubtpm-fleet [options] look UUID
//	stubtpm-fleet [options] fence -host HOST -at EPOCH -to HOST -restored N -word HEX UUID
//	stubtpm-fleet word -host HOST -at EPOCH -to HOST -restored N -key FILE UUID
//
// HOST is the ID of a host's manager, 32 hexadecimal digits. KEY is an Ed25519 key, 64
// hexadecimal digits. EPOCH is as look prints it.
//
// Claim is for a host whose manager has the vTPM. Repeated, it says that the host is
// there: every ten seconds or so, of one of its vTPMs. Hand-over is for the source of a
// move, when its manager says that the vTPM is GONE. Look prints one line:
//
//	UUID owner HOST epoch 1.3 heard
//
// or silent, if the owner made no claim for the time of -lease. A silent host may run.
// Fence gives a vTPM to another host than the one that has it, by the approver's word,
// which word makes with the approver's private key (PKCS #8 in PEM) and without the
// store; after it the vTPM is restored there. It refuses while the owner is heard,
// unless -heard is given. docs/fleet.md has the whole.
//
// Options, before the call:
//
//	-endpoints LIST   etcd's addresses, with commas between
//	-ca, -cert, -tls-key FILE
//	                  certificates of etcd, and this client's and its key, in PEM
//	-hosts HOST,HOST  the two hosts of a fleet that has no etcd; fence then needs
//	                  -approver KEY
//	-lease TIME       how long a claim is heard (default 30s)
//	-timeout TIME     how long the store may take (default 5s, at most 1m)
//
// Exit codes: 0 done, 1 failure and nothing was changed, 2 wrong usage, 3 refused: the
// line printed says whose the vTPM is, 4 the store did not answer and the call may have
// taken effect: repeat it, or look.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"stubtpm/tools/fleet"
	"stubtpm/tools/keyfile"
	"stubtpm/vtpmmgr/proto"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// A request is what the command line asks for.
type request struct {
	endpoints, ca, cert, tlsKey, hosts string
	lease, timeout                     time.Duration

	call                                  string
	host, at, to, approver, word, keyFile string
	restored                              uint
	heard                                 bool
	vtpm                                  fleet.UUID
}

var errUsage = errors.New("wrong usage")

// parse reads the command line.
func parse(args []string, stderr io.Writer) (*request, error) {
	r := new(request)
	f := flag.NewFlagSet("stubtpm-fleet", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&r.endpoints, "endpoints", "", "etcd's addresses, with commas between")
	f.StringVar(&r.ca, "ca", "", "file with the certificates that etcd's must come from")
	f.StringVar(&r.cert, "cert", "", "file with this client's certificate")
	f.StringVar(&r.tlsKey, "tls-key", "", "file with its private key")
	f.StringVar(&r.hosts, "hosts", "", "the two hosts of a fleet without etcd")
	f.DurationVar(&r.lease, "lease", 30*time.Second, "how long a claim is heard")
	f.DurationVar(&r.timeout, "timeout", 5*time.Second, "how long the store may take, at most 1m")
	if err := f.Parse(args); err != nil {
		return nil, errUsage
	}
	if f.NArg() == 0 {
		return nil, fmt.Errorf("%w: claim, hand-over, look, fence or word?", errUsage)
	}
	r.call = f.Arg(0)
	g := flag.NewFlagSet(r.call, flag.ContinueOnError)
	g.SetOutput(stderr)
	g.StringVar(&r.host, "host", "", "this host; of fence and word: the host that loses the vTPM")
	g.StringVar(&r.at, "at", "", "the epoch that look prints")
	g.StringVar(&r.to, "to", "", "the host that gets the vTPM")
	g.StringVar(&r.approver, "approver", "", "the approver's public key")
	g.UintVar(&r.restored, "restored", 0, "the epoch of the restored vTPM")
	g.StringVar(&r.word, "word", "", "the approver's word")
	g.StringVar(&r.keyFile, "key", "", "file with the approver's private key")
	g.BoolVar(&r.heard, "heard", false, "fence a host that is heard")
	if err := g.Parse(f.Args()[1:]); err != nil {
		return nil, errUsage
	}
	if g.NArg() != 1 {
		return nil, fmt.Errorf("%w: the vTPM's UUID comes last", errUsage)
	}
	if r.timeout <= 0 || r.timeout > time.Minute || r.lease < time.Second || r.lease > time.Hour || uint64(r.restored) > 1<<32-1 {
		return nil, fmt.Errorf("%w: -timeout is up to 1m, -lease 1s to 1h, -restored 32 bits", errUsage)
	}
	var err error
	if r.vtpm, err = proto.ParseUUID(g.Arg(0)); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return r, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	r, err := parse(args, stderr)
	if err == nil {
		err = r.do(stdout)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "stubtpm-fleet: %v\n", err)
	switch {
	case errors.Is(err, errUsage), errors.Is(err, fleet.ErrArgument):
		return 2
	case errors.Is(err, fleet.ErrUnknown):
		return 4
	case errors.Is(err, fleet.ErrOwned), errors.Is(err, fleet.ErrMoved), errors.Is(err, fleet.ErrWord), errors.Is(err, errHeard):
		return 3
	}
	return 1
}

var errHeard = errors.New("the owner is heard: stop that host first, or give -heard")

// do carries out the request, and prints the row that it ends with, or was refused by.
func (r *request) do(stdout io.Writer) error {
	if r.call == "word" {
		return r.sign(stdout)
	}
	store, end, err := r.store()
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	row, err := r.ask(ctx, store)
	if row.Owner == (fleet.Host{}) {
		return err
	}
	if r.call != "look" && err == nil {
		fmt.Fprintf(stdout, "%v owner %v epoch %v\n", r.vtpm, row.Owner, row.Epoch)
		return nil
	}
	heard := "silent"
	if row.Heard {
		heard = "heard"
	}
	if r.call != "look" && !errors.Is(err, errHeard) {
		heard = "refused"
	}
	fmt.Fprintf(stdout, "%v owner %v epoch %v %s\n", r.vtpm, row.Owner, row.Epoch, heard)
	return err
}

func (r *request) ask(ctx context.Context, store fleet.Store) (fleet.Row, error) {
	switch r.call {
	case "look":
		return store.Look(ctx, r.vtpm)
	case "claim":
		h, err := fleet.ParseHost(r.host)
		key, err2 := publicKey(r.approver)
		if err := errors.Join(err, err2); err != nil {
			return fleet.Row{}, err
		}
		return store.Claim(ctx, r.vtpm, h, key)
	case "hand-over":
		w, err := r.change()
		if err != nil {
			return fleet.Row{}, err
		}
		return store.HandOver(ctx, r.vtpm, w.From, w.At, w.To)
	case "fence":
		w, err := r.change()
		if err != nil {
			return fleet.Row{}, err
		}
		if w.Signature, err = hex.DecodeString(r.word); err != nil {
			return fleet.Row{}, fmt.Errorf("%w: -word: %w", errUsage, err)
		}
		if !r.heard {
			row, err := store.Look(ctx, r.vtpm)
			if err != nil && !errors.Is(err, fleet.ErrNotKept) {
				return fleet.Row{}, err
			}
			if row.Heard && row.Owner == w.From {
				return row, errHeard
			}
		}
		return store.Fence(ctx, r.vtpm, w)
	}
	return fleet.Row{}, fmt.Errorf("%w: there is no call %q", errUsage, r.call)
}

// change reads the options of hand-over, fence and word.
func (r *request) change() (w fleet.Word, err error) {
	w.Restored = uint32(r.restored)
	var errs [3]error
	w.From, errs[0] = fleet.ParseHost(r.host)
	w.At, errs[1] = fleet.ParseEpoch(r.at)
	w.To, errs[2] = fleet.ParseHost(r.to)
	return w, errors.Join(errs[:]...)
}

// sign prints the approver's word.
func (r *request) sign(stdout io.Writer) error {
	w, err := r.change()
	if err != nil {
		return err
	}
	if w.Restored <= w.At.Restored {
		return fmt.Errorf("%w: -restored %d is not higher than that of epoch %v", errUsage, w.Restored, w.At)
	}
	b, err := os.ReadFile(r.keyFile)
	if err != nil {
		return err
	}
	k, err := keyfile.Parse(b, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", r.keyFile, err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("%s is not an Ed25519 key", r.keyFile)
	}
	fmt.Fprintf(stdout, "%x\n", ed25519.Sign(key, w.Message(r.vtpm)))
	return nil
}

// store returns the store that the options name, and what ends its use.
func (r *request) store() (fleet.Store, func() error, error) {
	none := func() error { return nil }
	switch {
	case (r.hosts == "") == (r.endpoints == ""):
		return nil, none, fmt.Errorf("%w: either -endpoints or -hosts", errUsage)
	case r.hosts != "":
		a, b, _ := strings.Cut(r.hosts, ",")
		n := new(fleet.None)
		var errs [3]error
		n.Hosts[0], errs[0] = fleet.ParseHost(a)
		n.Hosts[1], errs[1] = fleet.ParseHost(b)
		if r.call == "fence" {
			n.Approver, errs[2] = publicKey(r.approver)
		}
		return n, none, errors.Join(errs[:]...)
	}
	config := clientv3.Config{Endpoints: strings.Split(r.endpoints, ","), DialTimeout: r.timeout,
		DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 2 * time.Second, Logger: zap.NewNop()}
	var err error
	if config.TLS, err = r.tls(); err != nil {
		return nil, none, err
	}
	c, err := clientv3.New(config)
	if err != nil {
		return nil, none, err
	}
	return fleet.NewEtcd(c, fleet.DefaultPrefix, r.lease), c.Close, nil
}

// tls returns nil without -ca, for an etcd that is reached over a loopback or a tunnel.
func (r *request) tls() (*tls.Config, error) {
	if r.ca == "" {
		if r.cert != "" || r.tlsKey != "" {
			return nil, fmt.Errorf("%w: -cert and -tls-key need -ca", errUsage)
		}
		return nil, nil
	}
	b, err := os.ReadFile(r.ca)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: no certificate", r.ca)
	}
	if r.cert != "" || r.tlsKey != "" {
		pair, err := tls.LoadX509KeyPair(r.cert, r.tlsKey)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func publicKey(s string) (ed25519.PublicKey, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: key %q is not 64 hexadecimal digits", errUsage, s)
	}
	return b, nil
}
