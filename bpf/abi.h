/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * What kernel and user space share. Every struct is free of padding (a map key
 * with padding compares garbage; a batch read of padded values allocates).
 * A change of any layout or meaning here raises ABIVersion in pin.go.
 *
 * There is no field for a far-side address or port in this file, and that is
 * the point of it.
 */
#ifndef GRIFFIER_ABI_H
#define GRIFFIER_ABI_H

#include "kernel.h"

#define DIR_UP 0   /* TCX ingress of the access interface: from the subscriber */
#define DIR_DOWN 1 /* TCX egress: to the subscriber */

/*
 * Which slot an address counts in. IPv4 addresses and IPv6 prefixes of up to 64 bits
 * lie in a table of our own (lines): 4 places a bucket, a bucket a cache line, a key
 * in one of the two buckets that its hash names. Only user space writes, in place
 * (the table is mapped): the key first, then meta in one store, which makes it count;
 * to remove it, meta first. A place rests for a grace period before it gets another
 * key, so a program never joins one key with another's slot.
 *
 * IPv6 prefixes longer than 64 bits, and the few keys that find both buckets full,
 * lie in a hash map (others). A packet looks for the former there only if the bit of
 * its prefix is set (filter), since most belong to a shorter prefix. Bits are set
 * before the key is there, and cleared only by a process that starts.
 */
struct place {
	__u64 key; /* the address, or the first half of the prefix, as it is in the packet */
	__u64 meta;
};

#define META_SLOT 0x7fffffffull
#define META_TAG_SHIFT 32
#define META_TAG 0x7fffffffull /* after the shift */
/* In a bucket's first place only: of the keys that name this bucket first, some ... */
#define META_SPILLED (1ull << 31)    /* ... lie in their second bucket */
#define META_OVERFLOWED (1ull << 63) /* ... lie in others */

/* length << 24 | outer_vid << 12 | inner_vid */
#define TAG_LENGTH_SHIFT 24
#define TAG_IPV4 96		/* for a length; those of 65 to 128 are in others only */
#define TAG_LONG (1ull << 32)	/* with a length above 64 */

#define BUCKET_PLACES 4

struct bucket {
	struct place places[BUCKET_PLACES];
};

struct other_key {
	__u64 high; /* masked */
	__u64 low;
	__u64 tag;
};

struct count {
	__u64 bytes;
	__u64 packets;
};

/*
 * One subscriber's cumulative counters on one stripe; one cache line. Never zeroed.
 * There is a stripe for each CPU, or CPUs share stripes and add atomically.
 */
struct slot_counters {
	struct count up4;
	struct count up6;
	struct count down4;
	struct count down6;
};

/*
 * The closed equation, per direction:
 *   total = attributed4 + attributed6 + unattributed4 + unattributed6 + non_ip + parse_error
 * in packets and in bytes, where the bytes of an IP packet are its L3 bytes and
 * those of anything else are the frame's (Ethernet header and tags, no FCS).
 */
struct direction_totals {
	struct count total;
	struct count attributed4;
	struct count attributed6;
	struct count unattributed4;
	struct count unattributed6;
	struct count non_ip;
	struct count parse_error;
	__u64 frames;	     /* socket buffers seen: what an interface counter shows */
	__u64 bad_slot;	     /* a key named a slot beyond the array: unattributed */
	__u64 punted;	     /* control frames copied to the ring */
	__u64 punt_drops;    /* control frames lost because the ring was full */
	__u64 punt_rejected; /* a control port without a control message behind it */
} __attribute__((aligned(64))); /* each CPU has its own cache lines */

/*
 * User space's own note of who holds a slot; the programs never read it. It is
 * a map so that it lives and dies with the counters it explains: a collector
 * that was killed finds out from it whose bytes came in meanwhile.
 */
struct slot_owner {
	__u8 ref[16];
	__u32 generation;
	__u32 state;
	struct slot_counters baseline;
};

#define MAX_LENGTHS 8

struct prefix_mask {
	__u8 mask[16];
	__u32 prefix_len;
	__u32 unused;
} __attribute__((aligned(8)));

#define CONFIG_SCOPED (1u << 0)	       /* some interface is in the scopes map */
#define CONFIG_SHARED (1u << 8)	       /* more CPUs than stripes: add atomically */
#define CONFIG_PUNT_DHCPV4 (1u << 1)   /* UDP 67/68 */
#define CONFIG_PUNT_DHCPV6 (1u << 2)   /* UDP 546/547 */
#define CONFIG_PUNT_PPPOE (1u << 3)    /* PPPoE discovery, IPCP, IPV6CP, LCP Terminate */
#define CONFIG_PUNT_ECHO (1u << 4)     /* with CONFIG_PUNT_PPPOE: hosts' LCP echoes that carry nothing */

struct config {
	__u32 flags;
	__u32 lengths; /* how many of masks are in use, longest prefix first */
	__u32 buckets; /* in lines */
	__u32 slots;   /* the highest slot; a stripe has one more, for slot 0 */
	__u32 stripes; /* of counters */
	__u32 filter_mask; /* words in filter, less one */
	struct prefix_mask masks[MAX_LENGTHS];
} __attribute__((aligned(8)));

#define PUNT_SMALL 512
#define PUNT_MAX 1536 /* longest copy of a control frame */
#define ECHO_FRAME 68 /* longest frame of an echo: the shortest of Ethernet, with two tags */

struct punt_header {
	__u64 boot_ns; /* CLOCK_BOOTTIME */
	__u32 ifindex;
	__u32 frame_len;  /* of the socket buffer, before any cut */
	__u32 copied;	  /* bytes that follow this header */
	__be16 tag_proto; /* the tag in metadata (not in the data), 0 if none */
	__u16 tag_tci;
	__u32 direction;
	__u32 unused;
};

#endif
