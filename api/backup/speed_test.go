package backup

import "testing"

// BenchmarkCreate makes and checks backups of five million rows of usage.
func BenchmarkCreate(b *testing.B) {
	h := newHouse(b, b.TempDir())
	err := h.conn.Exec(b.Context(), `INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, ended_at, sampled_at, direction, ip_version, byte_readings, packet_readings, counter_id, collector_id, source, class)
SELECT toFixedString(sipHash128(number % 20000), 16), toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + INTERVAL 300 * intDiv(number, 20000) SECOND AS at, at + INTERVAL 300 SECOND, at + INTERVAL 60 SECOND, 'up', 4,
    rand64(number), rand(number), toFixedString('c', 16), 'c1', 'kernel', 'usage_5m' FROM numbers(5000000)`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m, err := h.maker.Create(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(m.Bytes()))
	}
}
