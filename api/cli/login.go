package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
)

// login gets a token by the device authorization grant (RFC 8628): the person
// confirms in a browser of their choice, the terminal waits.
func (a *app) login() *cobra.Command {
	return &cobra.Command{
		Use: "login", Short: "Log in at the identity provider", Args: noArgs,
		Long: `Log in at the identity provider named in client.yaml. The token is written to the
home folder, readable by you only. Approving, executing and fetching want a log-in
of at most five minutes ago.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if cfg.Issuer == "" {
				return usageError{errors.New("client.yaml names no issuer to log in at")}
			}
			token, err := a.deviceLogin(c.Context(), cfg)
			if err != nil {
				return err
			}
			if err := writePrivate(cfg.TokenFile, []byte(token+"\n")); err != nil {
				return fmt.Errorf("keep the token: %w", err)
			}
			fmt.Fprintln(a.stderr, "logged in")
			return nil
		},
	}
}

func (a *app) deviceLogin(ctx context.Context, cfg clientConfig) (string, error) {
	roots, err := pool(cfg.IssuerCAFile)
	if err != nil {
		return "", err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	ctx = oidc.ClientContext(ctx, &http.Client{Transport: transport, Timeout: 15 * time.Second})
	provider, err := oidc.NewProvider(ctx, cfg.Issuer)
	if err != nil {
		return "", fmt.Errorf("log in at %s: %w", cfg.Issuer, err)
	}
	flow := oauth2.Config{ClientID: cfg.ClientID, Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID}}
	if flow.Endpoint.DeviceAuthURL == "" {
		return "", fmt.Errorf("log in at %s: the provider offers no device authorization (RFC 8628)", cfg.Issuer)
	}
	device, err := flow.DeviceAuth(ctx)
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	fmt.Fprintf(a.stderr, "Open %s\nand confirm code %s. Waiting…\n", device.VerificationURIComplete, device.UserCode)
	token, err := flow.DeviceAccessToken(ctx, device)
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", errors.New("log in: the provider sent no ID token")
	}
	return raw, nil
}

// writePrivate replaces a file whole, mode 0600.
func writePrivate(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
