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
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct v4_key);
	__type(value, __u32);
	__uint(max_entries, 1);
} v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct v6_key);
	__type(value, __u32);
	__uint(max_entries, 1);
} v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct slot_counters);
	__uint(max_entries, 1);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct direction_totals);
	__uint(max_entries, 2); /* by direction */
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

static __always_inline __u32 *find_ipv6(struct config *cfg, struct frame *f)
{
	for (int i = 0; i < MAX_LENGTHS; i++) {
		if (i >= cfg->lengths)
			return 0;
		struct prefix_mask *m = &cfg->masks[i];
		struct v6_key key;
		__u64 *prefix = (__u64 *)key.prefix, *mask = (__u64 *)m->mask;

		prefix[0] = f->address[0] & mask[0];
		prefix[1] = f->address[1] & mask[1];
		key.prefix_len = m->prefix_len;
		key.scope = f->scope;
		__u32 *slot = bpf_map_lookup_elem(&v6, &key);

		if (slot)
			return slot;
	}
	return 0;
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

static __always_inline void punt_control(struct __sk_buff *skb, struct config *cfg,
					 struct direction_totals *t, struct frame *f, enum kind kind,
					 const __u32 dir)
{
	__u32 ports;

	if (kind == NON_IP) {
		if (f->ethertype == ETH_PPPOE_DISCOVERY && cfg->flags & CONFIG_PUNT_PPPOE)
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
	__u32 direction = dir, ifindex = skb->ifindex;
	struct direction_totals *t = bpf_map_lookup_elem(&totals, &direction);
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
	__u32 *slot;

	if (kind == IPV4) {
		struct v4_key key = { .addr = f.address[0], .scope = f.scope };

		slot = bpf_map_lookup_elem(&v4, &key);
	} else {
		slot = find_ipv6(cfg, &f);
	}
	struct slot_counters *c = 0;

	if (slot) {
		c = bpf_map_lookup_elem(&counters, slot);
		if (!c)
			t->bad_slot++;
	}
	add(&t->total, f.bytes, f.packets);
	if (kind == IPV4) {
		if (c)
			add(dir == DIR_UP ? &c->up4 : &c->down4, f.bytes, f.packets);
		add(c ? &t->attributed4 : &t->unattributed4, f.bytes, f.packets);
	} else {
		if (c)
			add(dir == DIR_UP ? &c->up6 : &c->down6, f.bytes, f.packets);
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
