/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/* From a frame to (address family, L3 bytes, packets). Nothing here keeps state. */
#ifndef GRIFFIER_PARSE_H
#define GRIFFIER_PARSE_H

#include "abi.h"

#define ETH_IPV4 0x0800
#define ETH_IPV6 0x86dd
#define ETH_VLAN 0x8100
#define ETH_QINQ 0x88a8
#define ETH_QINQ_OLD 0x9100
#define ETH_MPLS 0x8847
#define ETH_MPLS_MULTICAST 0x8848 /* or with an upstream-assigned label: RFC 5332 */
#define ETH_PPPOE_DISCOVERY 0x8863
#define ETH_PPPOE_SESSION 0x8864
#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057
#define PPP_IPCP 0x8021
#define PPP_IPV6CP 0x8057
#define PPP_LCP 0xc021

#define IPPROTO_HOPOPTS 0
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH 51
#define IPPROTO_NONE 59
#define IPPROTO_DSTOPTS 60
#define IPPROTO_SCTP 132
#define IPPROTO_MH 135
#define IPPROTO_UDPLITE 136

#define MAX_TAGS_IN_DATA 3
#define MAX_LABELS 6
#define MAX_EXTENSIONS 8
#define MAX_OFFSET 1023

enum kind { NON_IP, PARSE_ERROR, IPV4, IPV6 };

struct frame {
	__u32 scope;	 /* outer_vid << 16 | inner_vid */
	__u32 l3;	 /* offset of the L3 header */
	__u32 l3_room;	 /* bytes from there that may belong to it */
	__u32 ethertype; /* or that which the PPP protocol stands for */
	__u32 frame_bytes;
	__u32 gso_segs;
	__u32 gso_size; /* not 0: an aggregate, which stands for several packets */
	__u32 l4;	/* offset of the L4 header, 0 when there is none here */
	__u32 l4_proto; /* valid with l4 */
	__u32 ppp;	/* PPP protocol of a PPPoE session frame that is not IP; l3 is behind it */
	__u64 bytes;
	__u64 packets;
	__u64 address[2]; /* the subscriber's side only */
};

/*
 * A direct read when the bytes are linear, a helper call when they are not. n is a
 * multiple of 4. The offset is never near MAX_OFFSET; the mask and the empty asm
 * are there for the verifier, which has to see one bounded, checked pointer.
 */
static __always_inline int load(struct __sk_buff *skb, __u32 off, __u32 *to, const __u32 n)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	off &= MAX_OFFSET;
	void *at = data + off;

	asm volatile("" : "+r"(at));
	if (at + n <= end) {
		__u32 *from = at;
#pragma unroll
		for (__u32 i = 0; i < n / 4; i++)
			to[i] = from[i];
		return 0;
	}
	return bpf_skb_load_bytes(skb, off, to, n);
}

static __always_inline int is_tag(__u32 ethertype)
{
	return ethertype == ETH_VLAN || ethertype == ETH_QINQ || ethertype == ETH_QINQ_OLD;
}

/*
 * Walks Ethernet, VLAN tags (the outer one may be in metadata) and either MPLS
 * labels or PPPoE, and
 * sets scope, l3, l3_room and ethertype. IPV4 or IPV6 means "try that next".
 * A global function: the verifier walks it once by itself, instead of walking all
 * that follows once for each combination of tags.
 */
__attribute__((noinline)) int read_link(struct __sk_buff *skb, struct frame *f)
{
	__u32 words[2];
	__u32 off = 14, tags = 0;

	if (!f)
		return PARSE_ERROR;
	f->frame_bytes = skb->len;
	/*
	 * Once, and volatile: or else the compiler reads both through a pointer into
	 * the context, which the verifier does not allow.
	 */
	f->gso_segs = *(volatile __u32 *)&skb->gso_segs;
	f->gso_size = *(volatile __u32 *)&skb->gso_size;
	if (skb->vlan_present) {
		f->frame_bytes += 4;
		f->scope = (skb->vlan_tci & 0xfff) << 16;
		tags = 1;
	}
	/* Bytes 10 to 13: the end of the source address and the type. */
	if (load(skb, 10, words, 4))
		return PARSE_ERROR;
	f->ethertype = be16(words[0] >> 16);
#pragma unroll
	for (int i = 0; i < MAX_TAGS_IN_DATA; i++) {
		if (!is_tag(f->ethertype))
			break;
		if (load(skb, off, words, 4))
			return PARSE_ERROR;
		__u32 vid = be16((__u16)words[0]) & 0xfff;

		if (tags == 0)
			f->scope = vid << 16;
		else if (tags == 1)
			f->scope |= vid;
		tags++;
		f->ethertype = be16(words[0] >> 16);
		off += 4;
	}
	if (is_tag(f->ethertype))
		return PARSE_ERROR;
	if (f->ethertype == ETH_MPLS || f->ethertype == ETH_MPLS_MULTICAST) {
		int bottom = 0;

		/* RFC 3032 §2.1: label 20, traffic class 3, bottom of stack 1, TTL 8 bits. */
#pragma unroll
		for (int i = 0; i < MAX_LABELS; i++) {
			if (bottom)
				break;
			if (load(skb, off, words, 4))
				return PARSE_ERROR;
			bottom = words[0] >> 16 & 1;
			off += 4;
		}
		if (!bottom || load(skb, off, words, 4))
			return PARSE_ERROR;
		/*
		 * No label says what it carries; RFC 4928 §3 has 4 and 6 first in IP
		 * packets only, and 0 in front of a pseudowire's frame.
		 */
		f->ethertype = 0;
		if ((words[0] & 0xf0) == 0x40)
			f->ethertype = ETH_IPV4;
		else if ((words[0] & 0xf0) == 0x60)
			f->ethertype = ETH_IPV6;
	}

	f->l3_room = skb->len - off;
	if (f->ethertype == ETH_PPPOE_SESSION) {
		/* RFC 2516: version 1, type 1, code 0, session, length; then the PPP protocol. */
		if (load(skb, off, words, 8))
			return PARSE_ERROR;
		if ((words[0] & 0xffff) != 0x0011)
			return PARSE_ERROR;
		__u32 length = be16((__u16)words[1]);
		__u32 ppp = be16(words[1] >> 16), ppp_size = 2;

		/* RFC 1661 §6.5: an odd first byte is the whole, compressed protocol. */
		if (ppp & 0x0100) {
			ppp >>= 8;
			ppp_size = 1;
		}
		/* The length of an aggregate is that of none of its segments. */
		if (!f->gso_size) {
			if (length < ppp_size || length > f->l3_room - 6)
				return PARSE_ERROR;
			f->l3_room = length + 6;
		}
		off += 6 + ppp_size;
		f->l3_room -= 6 + ppp_size;
		if (ppp == PPP_IPV4)
			f->ethertype = ETH_IPV4;
		else if (ppp == PPP_IPV6)
			f->ethertype = ETH_IPV6;
		else {
			f->ppp = ppp;
			f->l3 = off;
			return NON_IP;
		}
	}
	f->l3 = off;
	if (f->ethertype == ETH_IPV4)
		return IPV4;
	if (f->ethertype == ETH_IPV6)
		return IPV6;
	return NON_IP;
}

/* The size of the L4 header that every segment repeats, or -1. */
static __always_inline int l4_header_size(struct __sk_buff *skb, __u32 proto, __u32 off)
{
	__u8 data_offset;

	switch (proto) {
	case IPPROTO_TCP:
		if (bpf_skb_load_bytes(skb, off + 12, &data_offset, 1) || data_offset >> 4 < 5)
			return -1;
		return (data_offset >> 4) * 4;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	}
	return 0;
}

/*
 * An aggregate (GSO or GRO) of l3_bytes whose segments each repeat headers
 * bytes. gso_segs is 0 when an untrusted source (virtio) made the aggregate.
 */
static __always_inline enum kind count_segments(struct frame *f, __u32 l3_bytes, __u32 headers,
						enum kind kind)
{
	__u64 segments = f->gso_segs;

	if (l3_bytes < headers)
		return PARSE_ERROR;
	if (segments == 0 && f->gso_size != 0xffff) /* GSO_BY_FRAGS has no size */
		segments = ((__u64)l3_bytes - headers + f->gso_size - 1) / f->gso_size;
	if (segments == 0)
		segments = 1;
	f->packets = segments;
	f->bytes = l3_bytes + (segments - 1) * headers;
	return kind;
}

static __always_inline enum kind read_ipv4(struct __sk_buff *skb, struct frame *f, const __u32 dir)
{
	__u32 ip[5];

	if (f->l3_room < sizeof(ip) || load(skb, f->l3, ip, sizeof(ip)))
		return PARSE_ERROR;
	__u32 header = (ip[0] & 0x0f) * 4;
	__u32 length = be16(ip[0] >> 16);

	if ((ip[0] & 0xf0) != 0x40 || header < 20 || f->l3_room < header)
		return PARSE_ERROR;
	f->address[0] = dir == DIR_UP ? ip[3] : ip[4];
	if ((be16(ip[1] >> 16) & 0x1fff) == 0) {
		f->l4 = f->l3 + header;
		f->l4_proto = (ip[2] >> 8) & 0xff;
	}
	if (f->gso_size) {
		int l4 = f->l4 ? l4_header_size(skb, f->l4_proto, f->l4) : 0;

		if (l4 < 0)
			return PARSE_ERROR;
		return count_segments(f, f->l3_room, header + l4, IPV4);
	}
	/* The header's length and not the frame's: short frames are padded to 60 bytes. */
	if (length < header || length > f->l3_room)
		return PARSE_ERROR;
	f->packets = 1;
	f->bytes = length;
	return IPV4;
}

/* Returns the size of all extension headers and leaves the upper protocol in *next, or -1. */
static __always_inline int skip_extensions(struct __sk_buff *skb, __u32 off, __u32 *next)
{
	__u32 size = 0;

	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 ext[4] = {};
		__u32 proto = *next;

		if (proto != IPPROTO_HOPOPTS && proto != IPPROTO_ROUTING &&
		    proto != IPPROTO_FRAGMENT && proto != IPPROTO_AH && proto != IPPROTO_DSTOPTS &&
		    proto != IPPROTO_MH)
			return size;
		if (bpf_skb_load_bytes(skb, off + size, ext, 4))
			return -1;
		*next = ext[0];
		if (proto == IPPROTO_FRAGMENT) {
			size += 8;
			/* What follows in a later fragment is the middle of a packet. */
			if (ext[2] || ext[3] & 0xf8) {
				*next = IPPROTO_NONE;
				return size;
			}
		}
		else if (proto == IPPROTO_AH)
			size += (ext[1] + 2) * 4;
		else
			size += (ext[1] + 1) * 8;
	}
	return -1;
}

static __always_inline enum kind read_ipv6(struct __sk_buff *skb, struct frame *f, const __u32 dir)
{
	__u32 ip[2], address[4];

	if (f->l3_room < 40 || load(skb, f->l3, ip, sizeof(ip)) ||
	    load(skb, f->l3 + (dir == DIR_UP ? 8 : 24), address, sizeof(address)))
		return PARSE_ERROR;
	if ((ip[0] & 0xf0) != 0x60)
		return PARSE_ERROR;
	__u32 payload = be16((__u16)ip[1]);
	__u32 next = (ip[1] >> 16) & 0xff;

	f->address[0] = address[0] | (__u64)address[1] << 32;
	f->address[1] = address[2] | (__u64)address[3] << 32;
	f->l4 = f->l3 + 40;
	f->l4_proto = next;
	if (f->gso_size) {
		__u32 bytes = f->l3_room;
		int jumbo = payload == 0 && next == IPPROTO_HOPOPTS;
		int extensions = skip_extensions(skb, f->l3 + 40, &next);

		if (extensions < 0)
			return PARSE_ERROR;
		int l4 = l4_header_size(skb, next, f->l3 + 40 + extensions);

		if (l4 < 0)
			return PARSE_ERROR;
		/* BIG TCP puts an 8-byte jumbo option in the aggregate that no segment carries. */
		if (jumbo && extensions >= 8) {
			bytes -= 8;
			extensions -= 8;
		}
		return count_segments(f, bytes, 40 + extensions + l4, IPV6);
	}
	/* A jumbogram (RFC 2675) that is not an aggregate has no place on an access line. */
	if (payload > f->l3_room - 40 || (payload == 0 && next == IPPROTO_HOPOPTS))
		return PARSE_ERROR;
	f->packets = 1;
	f->bytes = 40 + payload;
	return IPV6;
}

#endif
