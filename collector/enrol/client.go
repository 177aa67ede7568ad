package enrol

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	griffierv1 "griffier/proto/griffier/v1"
)

// callTimeout bounds one call to griffierd.
const callTimeout = 30 * time.Second

// ErrRefused is what griffierd's refusal is: the token, or the certificate, is
// not taken. Trying again does not help.
var ErrRefused = errors.New("refused by griffierd")

// ErrUnreachable is returned when griffierd could not be asked, or could not
// decide. What was asked for may have been granted; asking again finds out.
var ErrUnreachable = errors.New("griffierd cannot be reached")

// Request is what a collector enrols with.
type Request struct {
	CollectorID string
	Server      string // HOST:PORT
	Token       string
	Trust       Trust
}

// Enrol exchanges a token for an identity. It may be called again after any error
// but [ErrRefused], and then does what is left to do; nothing, if the identity that
// the token was exchanged for is there.
func (f Folder) Enrol(ctx context.Context, r Request, now func() time.Time) (*Identity, error) {
	tokenID, _, _ := strings.Cut(r.Token, "-")
	if i, err := f.Load(); err == nil && i.TokenID == tokenID && i.CollectorID == r.CollectorID && now().Before(i.Leaf().NotAfter) {
		return i, nil
	}
	key, err := f.nextKey()
	if err != nil {
		return nil, err
	}
	a := answer{collectorID: r.CollectorID, server: r.Server, tokenID: tokenID}
	err = call(ctx, r.Server, r.Trust, nil, func(pem []byte) { a.authority = pem }, key,
		func(ctx context.Context, c griffierv1.EnrolmentServiceClient, request []byte) error {
			resp, err := c.Enrol(ctx, &griffierv1.EnrolRequest{Token: r.Token, CertificateRequest: request, CollectorId: r.CollectorID})
			a.certificate, a.issuers = resp.GetCertificate(), resp.GetIssuers()
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	i, err := f.install(a, key, now())
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return i, nil
}

// Renew exchanges the identity for a new one, of the same collector, at server, or
// if that is empty where it comes from. It may be called again after any error.
func (f Folder) Renew(ctx context.Context, server string, now func() time.Time) (*Identity, error) {
	old, err := f.Load()
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	key, err := f.nextKey()
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	if server == "" {
		server = old.Server
	}
	a := answer{collectorID: old.CollectorID, server: server}
	err = call(ctx, server, Trust{authority: old.Authority}, &old.Certificate, func(pem []byte) { a.authority = pem }, key,
		func(ctx context.Context, c griffierv1.EnrolmentServiceClient, request []byte) error {
			resp, err := c.Renew(ctx, &griffierv1.RenewRequest{CertificateRequest: request})
			a.certificate, a.issuers = resp.GetCertificate(), resp.GetIssuers()
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	i, err := f.install(a, key, now())
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	return i, nil
}

// call connects to griffierd, with a certificate if there is one, and asks.
func call(ctx context.Context, server string, trust Trust, as *tls.Certificate, found func([]byte), key *ecdsa.PrivateKey,
	ask func(ctx context.Context, c griffierv1.EnrolmentServiceClient, request []byte) error) error {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return fmt.Errorf("certificate request: %w", err)
	}
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return fmt.Errorf("griffierd %q: want HOST:PORT", server)
	}
	var handshake failure
	config := trust.config(host, found)
	if as != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return as, nil }
	}
	if verify := config.VerifyConnection; verify != nil {
		config.VerifyConnection = func(s tls.ConnectionState) error { return handshake.keep(verify(s)) }
	}
	conn, err := grpc.NewClient(server, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithDisableServiceConfig())
	if err != nil {
		return fmt.Errorf("griffierd %s: %w", server, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = ask(ctx, griffierv1.NewEnrolmentServiceClient(conn), request)
	if err == nil {
		return nil
	}
	if cause := handshake.last(); cause != nil {
		return cause
	}
	return explain(server, err)
}

// failure keeps why a handshake failed, of which grpc tells only the text.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) keep(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	return err
}

func (f *failure) last() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// explain turns griffierd's answer into an error with its reason and cure.
func explain(server string, err error) error {
	s, _ := status.FromError(err)
	text := s.Message()
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			text = strings.TrimSpace(d.GetReason() + ": " + s.Message() + " " + d.GetMetadata()["detail"] + " " + d.GetMetadata()["cure"])
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				text += " " + v.GetField() + " " + v.GetDescription() + "."
			}
		}
	}
	kind := ErrUnreachable
	switch s.Code() {
	case codes.PermissionDenied, codes.InvalidArgument, codes.Unauthenticated, codes.FailedPrecondition, codes.Unimplemented:
		kind = ErrRefused
	}
	return fmt.Errorf("%w: %s: %s", kind, server, strings.TrimSpace(text))
}
