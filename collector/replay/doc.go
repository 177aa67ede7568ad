// Package replay reads a capture and makes the records that a live collector
// would have made of it: the same lease and RADIUS trackers, the same binding,
// and a counter in user space that follows the kernel's rules byte for byte.
//
// A capture does not say which frames came from the access network, so a frame
// counts up for the line that holds its source and down for the line that holds
// its destination. Traffic between two lines that the capture holds twice, once
// in each direction, therefore counts twice. A frame that segmentation offload
// made larger than the wire's counts as one packet, because captures do not hold
// the size of its segments.
package replay
