package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// authenticRequest checks the Request Authenticator of an Accounting-Request,
// MD5(Code + Identifier + Length + 16 zero octets + attributes + secret) (RFC
// 2866 §3), in constant time. packet is cut to its Length field.
func authenticRequest(packet, secret []byte) bool {
	var zero, sum [md5.Size]byte
	hash := md5.New()
	hash.Write(packet[:4])
	hash.Write(zero[:])
	hash.Write(packet[20:])
	hash.Write(secret)
	return subtle.ConstantTimeCompare(hash.Sum(sum[:0]), packet[4:20]) == 1
}

// authenticMessage checks Message-Authenticator (RFC 2869 §5.14). A
// Status-Server must carry it, being otherwise unauthenticated (RFC 5997 §3);
// an Accounting-Request may, and is then computed over a zero Request
// Authenticator. packet has well-formed attributes.
func authenticMessage(packet, secret []byte) bool {
	status := radius.Code(packet[0]) == radius.CodeStatusServer
	for at := 20; at < len(packet); at += int(packet[at+1]) {
		if radius.Type(packet[at]) != rfc2869.MessageAuthenticator_Type {
			continue
		}
		if int(packet[at+1]) != 2+md5.Size {
			return false
		}
		var zero, sum [md5.Size]byte
		mac := hmac.New(md5.New, secret)
		mac.Write(packet[:4])
		if status {
			mac.Write(packet[4:20])
		} else {
			mac.Write(zero[:])
		}
		mac.Write(packet[20 : at+2])
		mac.Write(zero[:])
		mac.Write(packet[at+2+md5.Size:])
		return hmac.Equal(mac.Sum(sum[:0]), packet[at+2:at+2+md5.Size])
	}
	return !status
}

// response encodes the Accounting-Response to request, with its Proxy-State
// attributes copied in order (RFC 2865 §5.33). request was parsed with a secret.
func response(request *radius.Packet) ([]byte, error) {
	answer := request.Response(radius.CodeAccountingResponse)
	for _, avp := range request.Attributes {
		if avp.Type == rfc2865.ProxyState_Type {
			answer.Attributes = append(answer.Attributes, avp)
		}
	}
	return answer.Encode()
}
