package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"griffier/collector/spool"
	"griffier/schema"
)

// Reasons of a retry, as the metric's label has them.
const (
	retryConnect   = "connect"   // no connection to the store, or it broke
	retryTimeout   = "timeout"   // the store did not answer in time
	retryException = "exception" // the store refused; what it says may pass
	retryContent   = "content"   // the store refused the rows; tried again before quarantine
	retryDriver    = "driver"    // any other failure on the way to the store
	retrySpool     = "spool"     // the spool could not be read or acknowledged
	retrySideFile  = "side_file" // the quarantine folder could not be written
)

var retryReasons = []string{retryConnect, retryTimeout, retryException, retryContent, retryDriver, retrySpool, retrySideFile}

// contentCodes are ClickHouse's error codes (system.errors) for data that will
// be refused however often it is sent. A broken connection can also yield some
// of these, which is why one refusal is not believed.
var contentCodes = map[int32]bool{
	6:   true, // CANNOT_PARSE_TEXT
	20:  true, // NUMBER_OF_COLUMNS_DOESNT_MATCH
	27:  true, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	53:  true, // TYPE_MISMATCH
	69:  true, // ARGUMENT_OUT_OF_BOUND
	70:  true, // CANNOT_CONVERT_TYPE
	117: true, // INCORRECT_DATA
	131: true, // TOO_LARGE_STRING_SIZE
	321: true, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349: true, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	407: true, // DECIMAL_OVERFLOW
	469: true, // VIOLATED_CONSTRAINT
}

// classify names the reason of a failed insert or open. For reasons other than
// retryContent, trying again is right.
func classify(err error) string {
	var (
		exception   *clickhouse.Exception
		conversion  *column.ColumnConverterError
		unsupported *column.UnsupportedColumnTypeError
		network     net.Error
		errno       syscall.Errno
	)
	switch {
	case errors.As(err, &exception):
		if contentCodes[exception.Code] {
			return retryContent
		}
		return retryException
	case errors.Is(err, schema.ErrInvalid), errors.As(err, &conversion), errors.As(err, &unsupported):
		return retryContent
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return retryTimeout
	case errors.As(err, &network), errors.As(err, &errno), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return retryConnect
	}
	return retryDriver
}

// describe says what a log line may say of err. The texts of ClickHouse and of
// the driver quote values, so only codes and types are told.
func describe(err error) string {
	var (
		exception *clickhouse.Exception
		corrupt   *spool.CorruptError
		op        *net.OpError
		errno     syscall.Errno
	)
	switch {
	case errors.As(err, &exception):
		return fmt.Sprintf("clickhouse exception %d %s", exception.Code, exception.CodeName)
	case errors.Is(err, schema.ErrInvalid):
		return "invalid record"
	case errors.As(err, &corrupt):
		return corrupt.Error() // file, offset and cure
	case errors.As(err, &op):
		return op.Error() // operation and address of the store
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded.Error()
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "connection closed by the store"
	}
	return fmt.Sprintf("error of type %T", err)
}
