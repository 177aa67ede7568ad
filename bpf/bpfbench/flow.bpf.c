//go:build ignore

// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)
/*
 * What the accounting programs are measured against: a program that does nothing,
 * and a flow counter keyed by the 5-tuple as flow exporters have it, with the same
 * parser in front. Neither is ever attached or shipped: the flow counter's key is
 * exactly what this project must not collect.
 */
#include "abi.h"
#include "parse.h"

char __license[] SEC("license") = "Dual BSD/GPL";

struct flow_key {
	__u64 src[2];
	__u64 dst[2];
	__u32 ports;
	__u32 protocol;
};

struct flow {
	struct count count;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow);
	__uint(max_entries, 1 << 18);
} flows SEC(".maps");

/* What spread goes on to. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} target SEC(".maps");

/* How many lines, and flows of each, spread makes of one frame, less one: powers of two. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 2);
} masks SEC(".maps");

SEC("tcx/ingress")
int nothing(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

/*
 * Makes an untagged IPv4 UDP frame one of a random line and flow, by the last 20
 * bits of its source address and its source port, and hands it to the program that
 * is measured: many lines are many cache misses.
 */
SEC("tcx/ingress")
int spread(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	__u32 *lines = bpf_map_lookup_elem(&masks, &zero), *ports = bpf_map_lookup_elem(&masks, &one);
	__u8 *data = (__u8 *)(long)skb->data;
	__u32 random = bpf_get_prandom_u32();

	if (!lines || !ports || data + 42 > (__u8 *)(long)skb->data_end)
		return TCX_NEXT;
	__u32 line = random & *lines;

	*(__u16 *)(data + 28) = line;
	data[27] = 64 | (line >> 16 & 0xf);
	*(__u16 *)(data + 34) = (random >> 20) & *ports;
	bpf_tail_call(skb, &target, 0);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int five_tuple(struct __sk_buff *skb)
{
	struct frame f = {};
	struct flow_key key = {};
	struct flow first = {};
	enum kind kind = read_link(skb, &f);

	if (kind == IPV4)
		kind = read_ipv4(skb, &f, DIR_UP);
	else if (kind == IPV6)
		kind = read_ipv6(skb, &f, DIR_UP);
	if (kind == IPV4) {
		key.src[0] = (__u32)f.address[0];
		load(skb, f.l3 + 16, (__u32 *)key.dst, 4);
	} else if (kind == IPV6) {
		key.src[0] = f.address[0];
		key.src[1] = f.address[1];
		load(skb, f.l3 + 24, (__u32 *)key.dst, 16);
	} else {
		return TCX_NEXT;
	}
	key.protocol = f.l4_proto;
	if (f.l4)
		load(skb, f.l4, &key.ports, 4);
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (flow) {
		flow->count.bytes += f.bytes;
		flow->count.packets += f.packets;
		return TCX_NEXT;
	}
	first.count.bytes = f.bytes;
	first.count.packets = f.packets;
	bpf_map_update_elem(&flows, &key, &first, 0);
	return TCX_NEXT;
}
