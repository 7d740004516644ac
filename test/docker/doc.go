// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docker owns the corpus of the Docker network API: what clients ask
// (testdata/corpus, one story a file), what a real Docker Engine answers to it,
// and the comparison of others' answers with that. It has tests alone, and must
// not know how anybody comes to an answer.
//
// A story is a txtar file of two parts. The first are requests, apart by empty
// lines:
//
//	# A comment.
//	POST /networks/create?a=b
//	Content-Type: text/plain
//	{"Name": "n1"}
//	=> n1
//
// The header lines are not needed (a body is application/json without them), nor
// is the body. Values in the query are written plainly and escaped when sent.
// `=> n1` remembers the Id of the answer: ${n1} is that Id and ${n1:12} its first
// 12 characters, in what follows; answers show <n1> where it occurs. `@headers`
// shows the answer's headers too, `@only A,B` some fields of its body alone.
// ${now} and ${start} are times (seconds since 1970), ${a*10} is aaaaaaaaaa,
// ${shared} the first digit of two remembered Ids. `3x POST …` asks three
// times, with ${i} from 1 to 3, and shows what differs. A name that is asked for
// where nothing has it is not of hexadecimal digits alone: it may begin some Id.
//
// The second part are the answers of the engine that hack/docker-engine.sh
// builds; `go test ./test/docker -update` writes them. Ids, times, MAC and chosen
// local IPv6 addresses are replaced by words. Where others are compared, only the
// subnet of an endpoint's address counts that the story does not name.
package docker
