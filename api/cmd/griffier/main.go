// Command griffier is the client for people: customers, support, legal
// officers and the overseer. See `griffier help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"griffier/api/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
