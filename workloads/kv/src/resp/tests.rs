use proptest::prelude::*;

use super::*;

type Requests = Vec<Vec<Vec<u8>>>;

/// Decodes bytes that arrive in pieces. Returns the requests, and the error that ended it.
fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Requests, Option<Malformed>) {
    let (mut decoder, mut bytes, mut requests) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            let length = match decoder.decode(&bytes, false) {
                Ok(Found::Request(request)) => {
                    requests.push(request.from(0).map(<[u8]>::to_vec).collect());
                    request.length()
                }
                Ok(Found::Part(0)) => break,
                Ok(found) => panic!("{found:?}"),
                Err(malformed) => return (requests, Some(malformed)),
            };
            bytes.drain(..length);
        }
    }
    (requests, None)
}

fn one(bytes: &[u8]) -> (Requests, Option<Malformed>) {
    decoded([bytes])
}

fn words(words: &[&str]) -> Requests {
    vec![words.iter().map(|word| word.as_bytes().to_vec()).collect()]
}

fn encoded(request: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for argument in request {
        bytes.extend(format!("${}\r\n", argument.len()).bytes());
        bytes.extend(argument.iter().chain(b"\r\n"));
    }
    bytes
}

#[test]
fn arrays_of_strings_are_requests() {
    assert_eq!(one(b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n"), (words(&["GET", "a\r\n"]), None));
    assert_eq!(one(b"*0\r\n*-1\r\n\r\n\n*1\r\n$0\r\n\r\n"), (words(&[""]), None));
}

#[test]
fn lines_are_requests() {
    for (line, request) in [
        ("GET a\n", &["GET", "a"][..]),
        ("  GET\t a  \r\n", &["GET", "a"]),
        (r#"SET "a b" 'c\'d\n'"#, &["SET", "a b", r"c'd\n"]),
        (r#"SET "\x41\n\"\q" ''"#, &["SET", "A\n\"q", ""]),
        (r#"x"y z""#, &["xy z"]),
    ] {
        let line = format!("{line}\r\n");
        assert_eq!(one(line.as_bytes()), (words(request), None), "{line}");
    }
}

#[test]
fn what_is_no_request_is_told_why() {
    let long = vec![b'1'; MAX_INLINE + 2];
    let cases: &[(&[u8], Malformed)] = &[
        (b"GET \"a\n", Malformed::Quotes),
        (b"GET 'a'b\n", Malformed::Quotes),
        (&long, Malformed::LongInline),
        (&[b"*", &long[..]].concat(), Malformed::LongCount),
        (b"*x\r\n", Malformed::Count),
        (b"*01\r\n", Malformed::Count),
        (b"*+1\r\n", Malformed::Count),
        (b"*1048577\r\n", Malformed::Count),
        (&[b"*1\r\n$", &long[..]].concat(), Malformed::LongLength),
        (b"*1\r\nx\r\n", Malformed::NoLength(b'x')),
        (b"*1\r\n$-1\r\n", Malformed::Length),
        (b"*1\r\n$536870913\r\n", Malformed::Length),
        (b"*1\r\n$9223372036854775808\r\n", Malformed::Length),
    ];
    for (bytes, malformed) in cases {
        assert_eq!(
            one(bytes),
            (vec![], Some(*malformed)),
            "{:?}",
            bytes[..10.min(bytes.len())].escape_ascii()
        );
    }
}

#[test]
fn unauthenticated_clients_may_announce_little() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(b"*11\r\n", true).unwrap_err(), Malformed::UnauthenticatedCount);
    assert_eq!(decoder.decode(b"*2\r\n$16385\r\n", true).unwrap_err(), Malformed::UnauthenticatedLength);
    assert!(matches!(Decoder::default().decode(b"*10\r\n$16384\r\n", true), Ok(Found::Part(0))));
}

#[test]
fn nothing_is_taken_for_what_is_only_announced() {
    let mut decoder = Decoder::default();
    let bytes = b"*1048576\r\n$536870912\r\nabc";
    assert!(matches!(decoder.decode(bytes, false), Ok(Found::Part(0))));
    assert!(decoder.heap() < 100, "{}", decoder.heap());
}

#[test]
fn a_request_that_is_too_long_is_none() {
    // The state after the decoder has examined that many bytes.
    let mut decoder = Decoder { state: State::Arguments(2), position: MAX_REQUEST + 1, ..Decoder::default() };
    assert_eq!(decoder.decode(b"", false).unwrap_err(), Malformed::LongRequest);
}

#[test]
fn what_is_discarded_is_done_with_as_it_comes() {
    let wanted: &[u8] = b"*1\r\n$4\r\nPING\r\n";
    let unwanted =
        [&b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n"[..], &vec![b'\r'; 100_000], b"\r\n"].concat();
    for (first, piece) in [(1, 1), (20, 7), (30, 4096), (50, 99_999), (100_000, 40)] {
        let (mut decoder, mut bytes, mut ends) = (Decoder::default(), unwanted[..first].to_vec(), 0);
        assert!(matches!(decoder.decode(&bytes, false), Ok(Found::Part(0))));
        decoder.discard();
        for piece in [&unwanted[first..], wanted].concat().chunks(piece) {
            bytes.extend_from_slice(piece);
            let length = match decoder.decode(&bytes, false).unwrap() {
                Found::Part(length) => length,
                Found::Discarded(length) => {
                    ends += 1;
                    length
                }
                Found::Request(request) => {
                    assert_eq!((request.argument(0), ends), (&b"PING"[..], 1));
                    ends += 1;
                    request.length()
                }
            };
            bytes.drain(..length);
            assert!(bytes.len() <= piece.len().max(40));
        }
        if ends == 1 {
            assert!(matches!(decoder.decode(&bytes, false), Ok(Found::Request(_))), "{first} {piece}");
        }
    }
}

#[test]
fn numbers_are_as_strict_as_redis() {
    for text in ["0", "1", "-1", "9223372036854775807", "-9223372036854775808"] {
        assert_eq!(number(text.as_bytes()), text.parse().ok(), "{text}");
    }
    for text in ["", "-", "-0", "+1", "01", " 1", "1 ", "1.0", "9223372036854775808", "99999999999999999999"]
    {
        assert_eq!(number(text.as_bytes()), None, "{text}");
    }
}

fn pieces(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.iter_mut().for_each(|cut| *cut %= bytes.len() + 1);
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn arguments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)
}

/// Bytes that often look like a request.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "*",
            "$",
            "\r\n",
            "\n",
            "*1\r\n",
            "*2\r\n$1\r\n",
            "-",
            "\"",
            "'",
            "\\x",
            "PING"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
        (0..30i64).prop_map(|number| number.to_string().into_bytes()),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_was_sent_is_what_is_found(
        requests in prop::collection::vec(arguments(), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| encoded(request)).collect();
        prop_assert_eq!(decoded(pieces(&bytes, cuts)), (requests, None));
    }

    #[test]
    fn however_bytes_arrive_the_same_is_found(bytes in likely(), cuts in prop::collection::vec(any::<usize>(), 0..10)) {
        prop_assert_eq!(decoded(pieces(&bytes, cuts)), one(&bytes));
        prop_assert_eq!(decoded(bytes.chunks(1)), one(&bytes));
    }

    #[test]
    fn no_more_is_kept_than_arrived(bytes in likely()) {
        let mut decoder = Decoder::default();
        let _ = decoder.decode(&bytes, false);
        prop_assert!(decoder.heap() <= 64 + 8 * bytes.len());
    }
}
