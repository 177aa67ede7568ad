package ledger

import (
	"flag"
	"io"
	"log/slog"
	"strings"
	"sync"

	"k8s.io/klog/v2"
)

// tesseraLog makes the first ledger of the process set tessera's logging.
var tesseraLog sync.Once

// sendTesseraLogTo sends tessera's warnings and errors to our logger, and drops
// its news. Tessera logs with klog, which is global to the process and writes
// everything to stderr, or to files in /tmp, unless it is told otherwise.
func sendTesseraLogTo(logger *slog.Logger) {
	settings := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(settings)
	for name, value := range map[string]string{
		"logtostderr": "false", "alsologtostderr": "false", "stderrthreshold": "FATAL", "skip_headers": "true",
	} {
		if err := settings.Set(name, value); err != nil {
			logger.Warn("tessera log setting", slog.String("name", name), slog.String("error", err.Error()))
		}
	}
	// An error is written to its own output and to those of all lesser ones.
	klog.SetOutputBySeverity("INFO", io.Discard)
	klog.SetOutputBySeverity("WARNING", slogWriter{logger})
	klog.SetOutputBySeverity("ERROR", io.Discard)
	klog.SetOutputBySeverity("FATAL", io.Discard)
}

// slogWriter logs each line as a warning.
type slogWriter struct{ logger *slog.Logger }

func (w slogWriter) Write(p []byte) (int, error) {
	w.logger.Warn("tessera", slog.String("text", strings.TrimSpace(string(p))))
	return len(p), nil
}
