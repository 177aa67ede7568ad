package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"
)

// What a made capture holds. It is the same every time.
const (
	captureLines   = 10_000
	capturePorts   = 20 // flows of a line
	capturePackets = 2_000_000
	captureSpan    = time.Minute
)

// captureStart lets the capture reach over the end of a 5-minute bucket.
var captureStart = time.Date(2026, 11, 19, 12, 4, 30, 0, time.UTC)

// moved is what one line moved, by the generator's own count of L3 bytes.
type moved struct{ upBytes, upPackets, downBytes, downPackets uint64 }

func (m *moved) add(up bool, bytes uint64) {
	if up {
		m.upBytes, m.upPackets = m.upBytes+bytes, m.upPackets+1
	} else {
		m.downBytes, m.downPackets = m.downBytes+bytes, m.downPackets+1
	}
}

// lineAddress is the address of line n.
func lineAddress(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64, byte(n >> 8), byte(n)})
}

// writeCapture makes a pcap file of whole frames (IPv4, UDP; lengths in the
// three groups that access lines show) between the lines and one far side, which
// spares those that keep pairs of addresses, and returns the file's size and what
// each line moved.
func writeCapture(path string, packets int) (size int64, truth []moved, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, 1<<18)
	head = binary.LittleEndian.AppendUint32(head, 1) // Ethernet
	w.Write(head)
	truth = make([]moved, captureLines)
	random := rand.New(rand.NewPCG(1, 2))
	record := make([]byte, 16+14+1500)
	frame := record[16:]
	copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00})
	size = int64(len(head))
	for n := range packets {
		line, port, up := random.IntN(captureLines), random.IntN(capturePorts), random.IntN(3) == 0
		length := 1400 + random.IntN(101)
		switch random.IntN(20) {
		case 0, 1, 2, 3, 4, 5, 6, 7, 8:
			length = 40 + random.IntN(40)
		case 9, 10, 11:
			length = 200 + random.IntN(800)
		}
		truth[line].add(up, uint64(length))
		at := captureStart.Add(captureSpan / time.Duration(packets) * time.Duration(n))
		binary.LittleEndian.PutUint32(record[0:], uint32(at.Unix()))
		binary.LittleEndian.PutUint32(record[4:], uint32(at.Nanosecond()/1000))
		binary.LittleEndian.PutUint32(record[8:], uint32(14+length))
		binary.LittleEndian.PutUint32(record[12:], uint32(14+length))
		near, far := lineAddress(line).As4(), [4]byte{198, 51, 100, 1}
		nearPort, farPort := uint16(40_000+port), uint16(443)
		ip := frame[14 : 14+length]
		writeIPv4(ip, near, far, nearPort, farPort)
		if !up {
			writeIPv4(ip, far, near, farPort, nearPort)
		}
		if _, err := w.Write(record[:16+14+length]); err != nil {
			return 0, nil, err
		}
		size += int64(16 + 14 + length)
	}
	if err := w.Flush(); err != nil {
		return 0, nil, err
	}
	if err := f.Close(); err != nil {
		return 0, nil, fmt.Errorf("write capture: %w", err)
	}
	return size, truth, nil
}

// writeIPv4 writes the headers of IPv4, with its checksum, and UDP, with none.
func writeIPv4(ip []byte, source, destination [4]byte, sourcePort, destinationPort uint16) {
	copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0})
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], source[:])
	copy(ip[16:], destination[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum))
	binary.BigEndian.PutUint16(ip[20:], sourcePort)
	binary.BigEndian.PutUint16(ip[22:], destinationPort)
	binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
	binary.BigEndian.PutUint16(ip[26:], 0)
}
