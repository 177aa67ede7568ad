//go:build ignore

// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)
/*
 * Counts bytes and packets per access line at an access-facing interface.
 * TCX ingress is "up" and keyed by the source address, TCX egress is "down" and
 * keyed by the destination: the far side is never looked at. Every frame goes on
 * unchanged (TCX_NEXT). A frame leaves for user space only if it is a control
 * frame that the configuration names.
 */
#include "abi.h"
#include "parse.h"

char __license[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct bucket);
	__uint(max_entries, 1);
} lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct other_key);
	__type(value, __u32);
	__uint(max_entries, 1);
} others SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct slot_counters);
	__uint(max_entries, 1); /* stripe after stripe */
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct direction_totals);
	__uint(max_entries, 2); /* by CPU, then direction */
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct slot_owner);
	__uint(max_entries, 1);
} owners SEC(".maps");

/* Two configurations, of which active names one: a change is seen whole or not at all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct config);
	__uint(max_entries, 2);
} configs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} active SEC(".maps");

/* The interfaces whose VLAN tags are part of the key. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 256);
} scopes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} punts SEC(".maps");

/* Keeps the record's layout in BTF, from which the Go type is generated. */
const struct punt_header *punt_header_type __attribute__((unused));

/* Adds to a counter that no other CPU adds to, or that one may. */
static __always_inline void add_slot(struct count *c, __u64 bytes, __u64 packets, __u32 shared)
{
	if (shared) {
		__sync_fetch_and_add(&c->bytes, bytes);
		__sync_fetch_and_add(&c->packets, packets);
	} else {
		c->bytes += bytes;
		c->packets += packets;
	}
}

static __always_inline void add(struct count *c, __u64 bytes, __u64 packets)
{
	c->bytes += bytes;
	c->packets += packets;
}

static __always_inline struct config *current_config(void)
{
	__u32 zero = 0;
	__u32 *index = bpf_map_lookup_elem(&active, &zero);

	return index ? bpf_map_lookup_elem(&configs, index) : 0;
}

/* The same as in lines.go. Both halves of the result name a bucket. */
static __always_inline __u64 mix(__u64 key, __u64 tag)
{
	__u64 h = key ^ tag * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	h *= 0xbf58476d1ce4e5b9ull;
	h ^= h >> 29;
	h *= 0x94d049bb133111ebull;
	return h ^ h >> 32;
}

static __always_inline __u32 find_place(struct bucket *b, __u64 key, __u64 tag)
{
#pragma unroll
	for (int i = 0; i < BUCKET_PLACES; i++) {
		/* Once: the slot has to be the one that the tag was read with. */
		__u64 meta = *(volatile __u64 *)&b->places[i].meta;

		if ((meta >> META_TAG_SHIFT & META_TAG) == tag && b->places[i].key == key)
			return meta & META_SLOT;
	}
	return 0;
}

/* The slot of an IPv4 address or a prefix of up to 64 bits, 0 if there is none. */
__attribute__((noinline)) __u32 find(__u64 key, __u64 tag, __u32 buckets)
{
	__u64 hash = mix(key, tag);
	__u32 index = (hash >> 32) * buckets >> 32;
	struct bucket *first = bpf_map_lookup_elem(&lines, &index);

	if (!first)
		return 0;
	__u32 slot = find_place(first, key, tag);

	if (slot)
		return slot;
	__u64 flags = first->places[0].meta;

	if (flags & META_SPILLED) {
		index = (hash & 0xffffffff) * buckets >> 32;
		struct bucket *second = bpf_map_lookup_elem(&lines, &index);

		if (second)
			slot = find_place(second, key, tag);
		if (slot)
			return slot;
	}
	if (flags & META_OVERFLOWED) {
		struct other_key other = { .high = key, .tag = tag };
		__u32 *value = bpf_map_lookup_elem(&others, &other);

		if (value)
			return *value;
	}
	return 0;
}

static __always_inline __u64 tag_of(__u64 length, __u32 scope)
{
	return length << TAG_LENGTH_SHIFT | (scope >> 4 & 0xfff000) | (scope & 0xfff);
}

/* The slot of a prefix of more than 64 bits, 0 if there is none. */
static __always_inline __u32 find_long(struct config *cfg, struct other_key *key)
{
	__u64 hash = mix(key->high ^ key->low * 0xff51afd7ed558ccdull, key->tag);
	__u32 index = hash >> 32 & cfg->filter_mask;
	__u64 *bits = bpf_map_lookup_elem(&filter, &index);

	if (!bits || !(*bits >> (hash & 63) & 1))
		return 0;
	__u32 *slot = bpf_map_lookup_elem(&others, key);

	return slot ? *slot : 0;
}

static __always_inline __u32 find_ipv6(struct config *cfg, struct frame *f)
{
	for (int i = 0; i < MAX_LENGTHS; i++) {
		if (i >= cfg->lengths)
			return 0;
		struct prefix_mask *m = &cfg->masks[i];
		__u64 *mask = (__u64 *)m->mask;
		__u64 high = f->address[0] & mask[0], tag = tag_of(m->prefix_len, f->scope);
		__u32 slot;

		if (m->prefix_len > 64) {
			struct other_key other = {
				.high = high, .low = f->address[1] & mask[1], .tag = tag | TAG_LONG,
			};

			slot = find_long(cfg, &other);
		} else {
			slot = find(high, tag, cfg->buckets);
		}
		if (slot)
			return slot;
	}
	return 0;
}

static __always_inline struct slot_counters *counters_of(struct config *cfg, __u32 slot)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (slot > cfg->slots)
		return 0;
	if (cpu >= cfg->stripes)
		cpu %= cfg->stripes;
	__u32 index = cpu * (cfg->slots + 1) + slot;

	return bpf_map_lookup_elem(&counters, &index);
}

static __always_inline int copy_frame(struct __sk_buff *skb, const __u32 dir, const __u32 size)
{
	struct punt_header *h = bpf_ringbuf_reserve(&punts, sizeof(*h) + size, 0);
	__u64 copied = skb->len;

	if (!h)
		return -1;
	if (copied > size)
		copied = size;
	/* Keeps the compiler from merging both bounds into a form that the verifier cannot follow. */
	asm volatile("" : "+r"(copied));
	if (copied < 14 || bpf_skb_load_bytes(skb, 0, h + 1, copied)) {
		bpf_ringbuf_discard(h, 0);
		return -1;
	}
	h->boot_ns = bpf_ktime_get_boot_ns();
	h->ifindex = skb->ifindex;
	h->frame_len = skb->len;
	h->copied = copied;
	h->tag_proto = skb->vlan_present ? skb->vlan_proto : 0;
	h->tag_tci = skb->vlan_present ? skb->vlan_tci : 0;
	h->direction = dir;
	h->unused = 0;
	bpf_ringbuf_submit(h, 0);
	return 0;
}

static __always_inline void punt(struct __sk_buff *skb, struct direction_totals *t, const __u32 dir)
{
	int err;

	if (skb->len <= PUNT_SMALL)
		err = copy_frame(skb, dir, PUNT_SMALL);
	else
		err = copy_frame(skb, dir, PUNT_MAX);
	if (err)
		t->punt_drops++;
	else
		t->punted++;
}

/* A port alone is not enough to copy a frame: RFC 2131 §3 op and magic cookie must be there. */
static __always_inline int is_dhcpv4(struct __sk_buff *skb, __u32 udp)
{
	__u8 op;
	__be32 cookie;

	if (bpf_skb_load_bytes(skb, udp + 8, &op, 1) || (op != 1 && op != 2))
		return 0;
	if (bpf_skb_load_bytes(skb, udp + 8 + 236, &cookie, 4))
		return 0;
	return cookie == be32(0x63825363);
}

/* RFC 8415 §7.3: the message types in use. */
static __always_inline int is_dhcpv6(struct __sk_buff *skb, __u32 udp)
{
	__u8 type;

	return !bpf_skb_load_bytes(skb, udp + 8, &type, 1) && type >= 1 && type <= 15;
}

/*
 * A host's LCP Echo-Request or -Reply (RFC 1661 §5.8) of a magic number and nothing
 * else, in a frame with no more than Ethernet's own padding.
 */
static __always_inline int is_echo(struct __sk_buff *skb, struct frame *f)
{
	__u8 header[4];

	return skb->len <= ECHO_FRAME && !bpf_skb_load_bytes(skb, f->l3, header, 4) &&
	       (header[0] == 9 || header[0] == 10) && header[2] == 0 && header[3] == 8;
}

/*
 * Discovery (RFC 2516), what gives and takes addresses (IPCP, IPV6CP), the end of
 * the link, and if wanted that its host lives. Authentication (PAP carries
 * passwords, CHAP and EAP names) and the rest of LCP are not among them, whatever
 * the configuration says.
 */
static __always_inline int is_pppoe_control(struct __sk_buff *skb, struct config *cfg, struct frame *f,
					    const __u32 dir)
{
	__u8 code;

	if (f->ethertype == ETH_PPPOE_DISCOVERY)
		return 1;
	if (f->ppp == PPP_IPCP || f->ppp == PPP_IPV6CP)
		return 1;
	if (f->ppp != PPP_LCP || bpf_skb_load_bytes(skb, f->l3, &code, 1))
		return 0;
	if (code == 5 || code == 6) /* RFC 1661 §5: Terminate-Request, Terminate-Ack */
		return 1;
	return dir == DIR_UP && cfg->flags & CONFIG_PUNT_ECHO && is_echo(skb, f);
}

static __always_inline void punt_control(struct __sk_buff *skb, struct config *cfg,
					 struct direction_totals *t, struct frame *f, enum kind kind,
					 const __u32 dir)
{
	__u32 ports;

	if (kind == NON_IP) {
		if (cfg->flags & CONFIG_PUNT_PPPOE && is_pppoe_control(skb, cfg, f, dir))
			punt(skb, t, dir);
		return;
	}
	if (!f->l4 || f->l4_proto != IPPROTO_UDP || load(skb, f->l4, &ports, 4))
		return;
	__u32 port = be16(ports >> 16);
	int is_control;

	if (kind == IPV4 && (port == 67 || port == 68) && cfg->flags & CONFIG_PUNT_DHCPV4)
		is_control = is_dhcpv4(skb, f->l4);
	else if (kind == IPV6 && (port == 546 || port == 547) && cfg->flags & CONFIG_PUNT_DHCPV6)
		is_control = is_dhcpv6(skb, f->l4);
	else
		return;
	if (is_control)
		punt(skb, t, dir);
	else
		t->punt_rejected++;
}

static __always_inline int account(struct __sk_buff *skb, const __u32 dir)
{
	__u32 index = bpf_get_smp_processor_id() * 2 + dir, ifindex = skb->ifindex;
	struct direction_totals *t = bpf_map_lookup_elem(&totals, &index);
	struct config *cfg = current_config();
	struct frame f = {};

	if (!t || !cfg)
		return TCX_NEXT;
	t->frames++;
	enum kind kind = read_link(skb, &f);

	if (kind == IPV4)
		kind = read_ipv4(skb, &f, dir);
	else if (kind == IPV6)
		kind = read_ipv6(skb, &f, dir);
	if (kind == NON_IP || kind == PARSE_ERROR) {
		f.packets = f.gso_segs ? f.gso_segs : 1;
		f.bytes = f.frame_bytes;
		add(&t->total, f.bytes, f.packets);
		add(kind == NON_IP ? &t->non_ip : &t->parse_error, f.bytes, f.packets);
		if (kind == NON_IP)
			punt_control(skb, cfg, t, &f, kind, dir);
		return TCX_NEXT;
	}

	if (!(cfg->flags & CONFIG_SCOPED) || !bpf_map_lookup_elem(&scopes, &ifindex))
		f.scope = 0;
	__u32 slot, shared = cfg->flags & CONFIG_SHARED;

	if (kind == IPV4)
		slot = find(f.address[0], tag_of(TAG_IPV4, f.scope), cfg->buckets);
	else
		slot = find_ipv6(cfg, &f);
	struct slot_counters *c = 0;

	if (slot) {
		c = counters_of(cfg, slot);
		if (!c)
			t->bad_slot++;
	}
	add(&t->total, f.bytes, f.packets);
	if (kind == IPV4) {
		if (c)
			add_slot(dir == DIR_UP ? &c->up4 : &c->down4, f.bytes, f.packets, shared);
		add(c ? &t->attributed4 : &t->unattributed4, f.bytes, f.packets);
	} else {
		if (c)
			add_slot(dir == DIR_UP ? &c->up6 : &c->down6, f.bytes, f.packets, shared);
		add(c ? &t->attributed6 : &t->unattributed6, f.bytes, f.packets);
	}
	punt_control(skb, cfg, t, &f, kind, dir);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int account_up(struct __sk_buff *skb)
{
	return account(skb, DIR_UP);
}

SEC("tcx/egress")
int account_down(struct __sk_buff *skb)
{
	return account(skb, DIR_DOWN);
}
