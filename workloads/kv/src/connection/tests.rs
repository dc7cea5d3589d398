use super::*;
use crate::{Clock, Config, Shard, Slots};

struct Client {
    connection: Connection,
    shard: Shard,
}

impl Client {
    fn of(server: &Arc<Server>) -> Self {
        let connection = Connection::new(server).unwrap();
        Self { connection, shard: Shard::new(server.budget().clone(), 1) }
    }

    fn with(config: Config) -> Self {
        Self::of(&Server::new(config, 1, 0))
    }

    fn works(&mut self) {
        while let Some(plan) = self.connection.next(Now(1)) {
            let reply = plan.run([&mut self.shard]);
            self.connection.answer(reply);
        }
    }

    fn reads(&mut self) -> String {
        let mut read = Vec::new();
        while !self.connection.output().is_empty() {
            read.extend_from_slice(self.connection.output());
            self.connection.wrote(self.connection.output().len());
            self.works();
        }
        String::from_utf8(read).unwrap()
    }

    fn says(&mut self, text: impl AsRef<[u8]>) -> String {
        for bytes in text.as_ref().chunks(READ) {
            self.connection.received(bytes);
            self.works();
        }
        self.reads()
    }
}

fn client() -> Client {
    Client::with(Config::default())
}

fn bulk(argument: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", argument.len()).as_bytes(), argument, b"\r\n"].concat()
}

fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let arguments: Vec<u8> = arguments.iter().flat_map(|argument| bulk(argument)).collect();
    [format!("*{}\r\n", arguments.iter().filter(|byte| **byte == b'$').count()).into_bytes(), arguments]
        .concat()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut client = client();
    assert_eq!(
        client.says("SET a 1\r\nPING\r\nGET a\r\nFOO\r\nINCR a\r\nEC"),
        "+OK\r\n+PONG\r\n$1\r\n1\r\n\
        -ERR unknown command 'FOO', with args beginning with: \r\n:2\r\n"
    );
    assert_eq!(client.says("HO x\r\n"), "$1\r\nx\r\n");
}

/// Shards do not wait for each other. So a later request must not take effect before an earlier one
/// of the same client.
#[test]
fn a_plan_on_another_shard_waits_for_those_before_it() {
    let server = Server::new(Config::default(), 64, 0);
    let mut client = Client::of(&server);
    client.connection.received(b"SET a 1\r\nGET a\r\nSET b 2\r\nGET b\r\nMGET a b\r\nPING\r\nGET a\r\n");
    client.connection.end();
    let slots = server.slots();
    let [a, b] = [&b"a"[..], b"b"].map(|key| slots.shard(key));
    assert_ne!(a, b);
    let mut both = [a, b];
    both.sort_unstable();
    for shards in [&[vec![a], vec![a]][..], &[vec![b], vec![b]], &[both.to_vec()], &[vec![a]]] {
        let plans: Vec<_> = std::iter::from_fn(|| client.connection.next(Now(1))).collect();
        let on = |plan: &Plan| plan.parts().iter().map(|part| part.shard).collect::<Vec<_>>();
        assert_eq!(plans.iter().map(on).collect::<Vec<_>>(), shards);
        assert!(!client.connection.is_over());
        plans.iter().for_each(|_| client.connection.answer(Reply::Int(1)));
    }
    assert_eq!(client.reads(), ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n+PONG\r\n:1\r\n");
    assert!(client.connection.next(Now(1)).is_none() && client.connection.is_over());
}

#[test]
fn plans_may_be_taken_before_they_are_answered() {
    let mut client = client();
    client.connection.received(b"GET a\r\nPING\r\nGET b\r\nQUIT\r\nGET c\r\n");
    let plans: Vec<_> = std::iter::from_fn(|| client.connection.next(Now(1))).collect();
    assert_eq!((plans.len(), client.connection.unanswered()), (2, 2));
    assert!(client.connection.output().is_empty() && !client.connection.is_over());
    client.connection.answer(Reply::Int(1));
    client.connection.answer(Reply::Int(2));
    assert_eq!(client.reads(), ":1\r\n+PONG\r\n:2\r\n+OK\r\n");
    assert!(client.connection.is_over());
}

#[test]
fn a_watch_is_answered_before_anything_else_is_asked() {
    let mut client = client();
    client.connection.received(b"WATCH a\r\nMULTI\r\nSET a 1\r\nEXEC\r\n");
    let watch = client.connection.next(Now(1)).unwrap();
    assert_eq!(client.connection.next(Now(1)), None);
    client.connection.answer(watch.run([&mut client.shard]));
    let exec = client.connection.next(Now(1)).unwrap();
    assert_eq!(exec.parts()[0].checks.len(), 1);
    client.connection.answer(exec.run([&mut client.shard]));
    assert_eq!(client.reads(), "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
}

#[test]
fn a_watch_that_was_refused_watches_nothing() {
    let mut client = client();
    client.connection.received(b"WATCH a\r\n");
    assert!(client.connection.next(Now(1)).is_some());
    client.connection.answer(Reply::down(0));
    assert_eq!(
        client.says("MULTI\r\nEXEC\r\n"),
        "-TRYAGAIN shard 0 is down; if its owner has died, what it held is lost\r\n+OK\r\n*0\r\n"
    );
}

#[test]
fn a_shard_that_was_lost_fails_what_was_watched() {
    let mut client = client();
    client.says("WATCH a\r\n");
    client.shard = Shard::new(client.connection.server.budget().clone(), 2);
    assert_eq!(client.says("MULTI\r\nSET a 1\r\nEXEC\r\nGET a\r\n"), "+OK\r\n+QUEUED\r\n*-1\r\n$-1\r\n");
}

/// Sends requests until the connection wants no more. Returns how many were sent.
fn floods(client: &mut Client, requests: &[u8]) -> usize {
    let mut sent = 0;
    while client.connection.wants_input() {
        client.connection.received(&requests.repeat(100));
        client.works();
        sent += 100;
    }
    sent
}

#[test]
fn a_client_may_send_all_requests_before_it_reads_a_reply() {
    let mut client = client();
    client.says(request(&[b"SET", b"a", &[b'x'; 100]]));
    for _ in 0..500 {
        client.connection.received(&b"GET a\r\n".repeat(100));
        client.works();
        assert!(client.connection.wants_input() && client.connection.input.is_empty());
    }
    assert_eq!(client.connection.time_left(), None);
    assert_eq!(client.reads(), String::from_utf8(bulk(&[b'x'; 100])).unwrap().repeat(50_000));
    assert_eq!(client.connection.server.in_flight().granted(), 0);
}

#[test]
fn replies_that_wait_for_a_client_have_a_limit() {
    let mut client = Client::with(Config { max_output: 1 << 20, ..Config::default() });
    client.says(request(&[b"SET", b"a", &[b'x'; 1000]]));
    let sent = floods(&mut client, b"GET a\r\n");
    assert!((1000..1300).contains(&sent), "{sent}");
    assert!(client.connection.output.backlog() < (1 << 20) + 2000 && !client.connection.is_over());
    assert!(client.connection.held() < 2_000);
    let replies = client.reads();
    assert_eq!(replies.len(), sent * bulk(&[b'x'; 1000]).len());
    assert!(client.connection.wants_input());
    assert_eq!(client.connection.server.in_flight().granted(), 0);
}

#[test]
fn a_client_whose_requests_wait_for_it_must_take_replies() {
    let config = Config { max_output: 1 << 20, output_timeout: Duration::ZERO, ..Config::default() };
    let server = Server::new(config, 1, 0);
    let mut client = Client::of(&server);
    client.says(request(&[b"SET", b"a", &[b'x'; 1000]]));
    // Replies to all requests wait: more than the limit, but the client has asked for no more.
    while client.connection.output.backlog() < 1 << 20 {
        assert!(client.connection.wants_input());
        client.connection.received(b"GET a\r\n");
        client.works();
    }
    assert_eq!((client.connection.time_left(), server.idle_check_interval()), (None, None));
    assert!(client.connection.wants_input(), "it may be sending more");
    client.connection.received(b"GET a\r\nGET a\r\n");
    client.works();
    assert!(!client.connection.wants_input());
    assert_eq!(client.connection.time_left(), Some(Duration::ZERO));
    assert!(server.idle_check_interval().is_some());
    client.reads();
    assert_eq!((client.connection.time_left(), server.idle_check_interval()), (None, None));
    floods(&mut client, b"GET a\r\n");
    assert!(server.idle_check_interval().is_some());
    drop(client);
    assert_eq!(server.idle_check_interval(), None);
}

#[test]
fn a_client_that_takes_some_replies_has_time_again() {
    let mut client = Client::with(Config { max_output: 1 << 20, ..Config::default() });
    floods(&mut client, &request(&[b"ECHO", &[b'x'; 1000]]));
    let before = *client.connection.blocked_until.clone().unwrap();
    while Instant::now() + Duration::from_secs(10) <= before {}
    client.connection.wrote(1);
    assert!(*client.connection.blocked_until.clone().unwrap() > before);
}

#[test]
fn replies_that_wait_take_at_most_half_of_the_memory() {
    let server = Server::new(Config { max_memory: Some(4 << 20), ..Config::default() }, 1, 0);
    for requests in [&b"GET a\r\n"[..], b"PING\r\n", &request(&[b"ECHO", &[b'x'; 1000]])] {
        let [mut one, mut two, mut other] = [(); 3].map(|()| Client::of(&server));
        one.says(request(&[b"SET", b"a", &[b'x'; 1000]]));
        two.says(request(&[b"SET", b"a", &[b'x'; 1000]]));
        floods(&mut one, requests);
        let granted = server.in_flight().granted();
        assert!((2 << 20..(2 << 20) + 4000).contains(&granted), "{granted}");
        floods(&mut two, requests);
        assert!(server.in_flight().granted() < granted + (128 << 10));
        let value = vec![b'x'; 1 << 20];
        assert_eq!(other.says(request(&[b"SET", b"b", &value])), "+OK\r\n");
        assert_eq!(other.says("GET b\r\n").len(), bulk(&value).len());
        assert!(!one.reads().contains("OOM") && !two.reads().contains("OOM"));
        assert_eq!(server.in_flight().granted(), 0);
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_and_the_rest_is_served() {
    let config = Config { max_memory: Some(1 << 20), ..Config::default() };
    let server = Server::new(config, 1, 0);
    let (mut client, mut other) = (Client::of(&server), Client::of(&server));
    let large = vec![b'x'; 64 << 20];
    let large = [&b"MULTI\r\n"[..], &request(&[b"SET", b"a", &large]), b"EXEC\r\nPING\r\n"].concat();
    for bytes in large.chunks(READ) {
        client.connection.received(bytes);
        client.works();
        assert!(client.connection.held() <= (1 << 20) + 2 * READ && server.budget().granted() <= 1 << 20);
    }
    assert_eq!(
        client.reads(),
        "+OK\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n\
         -EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n"
    );
    assert_eq!(other.says("SET a 1\r\n"), "+OK\r\n");
}

#[test]
fn a_queue_that_grows_too_long_is_given_up() {
    let mut client = Client::with(Config { max_memory: Some(200_000), ..Config::default() });
    client.says("MULTI\r\n");
    let set = request(&[b"SET", b"a", &[b'x'; 1000]]);
    let said: String = (0..400).map(|_| client.says(&set)).collect();
    assert!(said.starts_with("+QUEUED\r\n+QUEUED"));
    assert_eq!(said.matches("-OOM").count(), 1);
    assert!(client.connection.server.budget().granted() < 1_000);
    assert!(client.says("EXEC\r\n").starts_with("-EXECABORT"));
}

#[test]
fn what_is_half_closed_is_answered_first() {
    let mut client = client();
    client.connection.received(b"PING\r\nGET a\r\nGE");
    client.connection.end();
    assert!(!client.connection.wants_input() && !client.connection.is_over());
    client.works();
    assert!(!client.connection.is_over());
    assert_eq!(client.reads(), "+PONG\r\n$-1\r\n");
    assert!(client.connection.is_over());
}

#[test]
fn nonsense_is_answered_and_ends_it() {
    let mut client = client();
    assert_eq!(
        client.says("PING\r\n*1\r\n$x\r\nPING\r\n"),
        "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"
    );
    assert!(client.connection.is_over() && !client.connection.wants_input());
    client.connection.received(b"PING\r\n");
    client.works();
    assert!(client.connection.output().is_empty());
}

#[test]
fn unauthenticated_clients_are_kept_out() {
    let mut client = Client::with(Config { password: Some("secret".into()), ..Config::default() });
    assert_eq!(client.says("GET a\r\n"), "-NOAUTH Authentication required.\r\n");
    assert!(client.says("HELLO 2\r\n").starts_with("-NOAUTH HELLO"));
    for wrong in ["secre", "secret2", "", "Secret"] {
        let mut client = Client::of(&client.connection.server);
        assert!(client.says(format!("AUTH '{wrong}'\r\n")).starts_with("-WRONGPASS"), "{wrong}");
    }
    assert_eq!(client.says("AUTH secret\r\nGET a\r\n"), "+OK\r\n$-1\r\n");
}

#[test]
fn a_connection_that_has_nothing_to_do_takes_little() {
    assert!(size_of::<Connection>() <= 512, "{}", size_of::<Connection>());
    let mut client = client();
    client.says(request(&[b"SET", b"a", &vec![b'x'; 1 << 20]]));
    client.says("GET a\r\n".repeat(10));
    assert!(client.connection.input.capacity() <= MAX_IDLE_BUFFER && client.connection.decoder.heap() < 256);
    client.connection.shrink();
    assert_eq!(client.connection.input.capacity() + client.connection.decoder.heap(), 0);
}

#[test]
fn clients_and_commands_are_counted() {
    let server = Server::new(Config { max_connections: 1, ..Config::default() }, 1, 0);
    let mut client = Client::of(&server);
    assert!(Connection::new(&server).is_none());
    client.says("PING\r\nGET a\r\nFOO\r\n");
    drop(client);
    assert_eq!(server.clients(), 0);
    assert!(Connection::new(&server).is_some());
    let totals = server.totals();
    assert_eq!((totals.connections, totals.refused, totals.commands), (2, 1, 3));
}

#[test]
fn idle_timeouts_end() {
    let none = Client::with(Config::default());
    assert_eq!(none.connection.time_left(), None);
    let little = Client::with(Config { idle_timeout: Some(Duration::ZERO), ..Config::default() });
    assert_eq!(little.connection.time_left(), Some(Duration::ZERO));
    let more = Client::with(Config { idle_timeout: Some(Duration::from_secs(100)), ..Config::default() });
    assert!(more.connection.time_left().unwrap() > Duration::from_secs(50));
}

#[test]
fn after_a_wrong_password_nothing_is_done_for_a_while() {
    let mut client = Client::with(Config { password: Some("secret".into()), ..Config::default() });
    assert!(client.connection.pause().is_none());
    assert!(client.says("AUTH wrong\r\nAUTH secret\r\n").starts_with("-WRONGPASS"));
    assert!(client.connection.pause().is_some() && !client.connection.wants_input());
    assert_eq!(client.reads(), "", "the second guess is not looked at yet");
    client.connection.paused_until = Some(Instant::now().into());
    client.works();
    assert_eq!(client.reads(), "+OK\r\n");
    assert!(client.connection.pause().is_none() && client.connection.time_left().is_none());
    assert_eq!(
        client.connection.server.unauthenticated_enters(),
        Duration::from_secs(10),
        "it is none any more"
    );
}

#[test]
fn penalties_grow_and_have_an_end() {
    let config = Config { password: Some("secret".into()), ..Config::default() };
    let mut client = Client::with(config);
    let mut penalties = Vec::new();
    for _ in 0..12 {
        client.says("AUTH wrong\r\n");
        penalties.push(client.connection.pause().unwrap());
        client.connection.paused_until = None;
    }
    assert!(penalties[0] <= Duration::from_millis(50) && penalties[5] > Duration::from_millis(1500));
    assert!(penalties[11] > Duration::from_secs(4) && penalties[11] <= Duration::from_secs(5));
}

#[test]
fn many_unauthenticated_clients_have_less_time() {
    let config = Config { password: Some("secret".into()), max_connections: 4, ..Config::default() };
    let server = Server::new(config, 1, 0);
    let mut clients: Vec<_> = (0..4).map(|_| Client::of(&server)).collect();
    let time_left = |client: &Client| client.connection.time_left().unwrap();
    assert!(time_left(&clients[1]) > Duration::from_secs(9));
    assert!(time_left(&clients[2]) <= Duration::from_secs(1));
    clients.truncate(1);
    assert!(time_left(&Client::of(&server)) > Duration::from_secs(9));
}

#[test]
fn what_speaks_http_is_hung_up_on() {
    for attack in [
        "POST / HTTP/1.1\r\n",
        "SET /a HTTP/1.1\r\n",
        "host: here\r\n",
        "*1\r\n$5\r\nHOST:\r\n",
        "MULTI\r\nPost\r\n",
    ] {
        let mut client = client();
        let said = client.says(format!("PING\r\n{attack}SET a 1\r\nEXEC\r\n"));
        assert_eq!(said.replace("+OK\r\n", ""), "+PONG\r\n", "{attack}");
        assert!(client.connection.is_over());
        assert_eq!(client.shard.stats().keys, 0);
    }
}

#[test]
fn a_transaction_is_bounded_by_its_steps() {
    let shards = 64;
    let server = Server::new(Config::default(), shards, 0);
    let mut client = Client::of(&server);
    client.says("MULTI\r\n");
    let most = (1 << 20) / shards;
    let said = client.says("DBSIZE\r\n".repeat(most + 2));
    assert_eq!(said.matches("+QUEUED").count(), most + 1, "commands after the error are queued, too");
    assert_eq!(said.matches("-ERR the transaction is too long").count(), 1);
    assert!(client.says("EXEC\r\n").starts_with("-EXECABORT"));
}

#[test]
fn a_plan_counts_for_every_shard_and_is_given_back() {
    let server = Server::new(Config { max_memory: Some(1 << 20), ..Config::default() }, 64, 0);
    let mut client = Client::of(&server);
    client.says("MULTI\r\n");
    let said = client.says("DBSIZE\r\n".repeat(200));
    assert_eq!(said.matches("-OOM").count(), 1, "each takes 64 steps");
    assert!(client.says("EXEC\r\n").starts_with("-EXECABORT"));
    assert_eq!((server.budget().granted(), server.in_flight().granted()), (0, 0));
}

#[test]
fn plans_that_are_not_answered_are_counted() {
    let server = Server::new(Config { max_memory: Some(1 << 20), ..Config::default() }, 64, 0);
    let transaction = format!("MULTI\r\n{}EXEC\r\n", "DBSIZE\r\n".repeat(20));
    let asks = |client: &mut Client| {
        client.connection.received(transaction.as_bytes());
        client.connection.next(Now(1)).is_some()
    };
    let mut clients: Vec<_> = (0..100).map(|_| Client::of(&server)).collect();
    let refused = clients.iter_mut().position(|client| !asks(client)).expect("the room has an end");
    assert!(refused > 0, "there was no room for one plan");
    assert!(clients[refused].reads().contains("-EXECABORT Transaction discarded because of: OOM"));
    clients[0].connection.answer(Reply::Int(1));
    assert!(asks(&mut clients[refused]), "an answered plan is still counted");
}

#[test]
fn replies_that_are_not_taken_are_counted() {
    let server = Server::new(Config { max_memory: Some(1 << 20), ..Config::default() }, 1, 0);
    let mut client = Client::of(&server);
    let copy = || Reply::Array((0..7).map(|_| Reply::bulk([b'x'; 100_000])).collect());
    let keys = format!("MGET{}\r\n", " a".repeat(7));
    let mut answered = |reply| {
        client.connection.received(keys.as_bytes());
        assert!(client.connection.next(Now(1)).is_some());
        client.connection.answer(reply);
        client.reads()
    };
    assert!(answered(copy()).len() > 700_000);
    assert_eq!(server.in_flight().granted(), 0);
    let mut other = Client::of(&server);
    other.connection.received(keys.as_bytes());
    assert!(other.connection.next(Now(1)).is_some());
    other.connection.answer(copy());
    assert!(answered(copy()).starts_with("-OOM the reply"));
    drop(other);
    assert!(answered(copy()).len() > 700_000);
    assert_eq!(server.in_flight().granted(), 0);
}

/// The date jumps in both directions; keys expire after the time that has passed.
#[test]
fn keys_expire_whatever_the_date_is() {
    let (clock, hands) = Clock::manual();
    let server = Server::new(Config { clock, ..Config::default() }, 1, 0);
    let mut client = Client::of(&server);
    let mut says = |text: &str| {
        client.connection.received(text.as_bytes());
        while let Some(plan) = client.connection.next(server.now()) {
            let reply = plan.run([&mut client.shard]);
            client.connection.answer(reply);
        }
        client.reads()
    };
    assert_eq!(says("SET day 1 EX 86400\r\n"), "+OK\r\n");
    for wall in [4_000_000_000_000, 0] {
        hands.set_wall(wall);
        assert_eq!(says("SET lock 1 PX 300\r\nPTTL lock\r\nTTL day\r\n"), "+OK\r\n:300\r\n:86400\r\n");
        hands.advance(Duration::from_millis(300));
        assert_eq!(says("EXISTS lock day\r\nEXPIRE day 86400\r\n"), ":1\r\n:1\r\n");
    }
    // An expiry whose date is not representable is refused, as in Redis.
    hands.set_wall(1 << 62);
    assert!(says(&format!("PEXPIRE day {}\r\n", 1u64 << 62)).starts_with("-ERR invalid expire time"));
}

/// A connection of a server with several shards, whose plans run when the test says so.
struct Sharded {
    client: Client,
    shards: Vec<Shard>,
}

impl Sharded {
    fn new() -> Self {
        // The plans run at the first time of this clock.
        let server = Server::new(Config { clock: Clock::manual().0, ..Config::default() }, 64, 0);
        let shards = (0..64).map(|n| Shard::new(server.budget().clone(), n)).collect();
        Self { client: Client::of(&server), shards }
    }

    fn run(&mut self, plan: &Plan) -> Reply {
        let is_asked = |shard: &usize| plan.parts().iter().any(|part| part.shard == *shard);
        let asked = self.shards.iter_mut().enumerate().filter(|(shard, _)| is_asked(shard));
        plan.run(asked.map(|(_, shard)| shard))
    }

    /// Runs one plan.
    fn step(&mut self) {
        let plan = self.client.connection.next(Now(1)).expect("a plan follows");
        let reply = self.run(&plan);
        self.client.connection.answer(reply);
    }

    fn says(&mut self, text: &str) -> String {
        self.client.connection.received(text.as_bytes());
        while let Some(plan) = self.client.connection.next(Now(1)) {
            let reply = self.run(&plan);
            self.client.connection.answer(reply);
        }
        self.client.reads()
    }
}

#[test]
fn a_key_is_renamed_and_copied_from_one_shard_to_another() {
    let mut it = Sharded::new();
    assert_ne!(Slots::new(64).shard(b"a"), Slots::new(64).shard(b"b"));
    assert_eq!(
        it.says("RENAME a b\r\nRENAMENX a b\r\nCOPY a b\r\n"),
        "-ERR no such key\r\n-ERR no such key\r\n:0\r\n"
    );
    assert_eq!(
        it.says("SET a 1 EX 100\r\nRENAME a b\r\nGET b\r\nTTL b\r\nGET a\r\n"),
        "+OK\r\n+OK\r\n$1\r\n1\r\n:100\r\n$-1\r\n"
    );
    assert_eq!(it.says("SET a 2\r\nRENAMENX a b\r\nCOPY a b\r\nGET b\r\n"), "+OK\r\n:0\r\n:0\r\n$1\r\n1\r\n");
    assert_eq!(
        it.says("COPY a b REPLACE\r\nMGET a b\r\nTTL b\r\n"),
        ":1\r\n*2\r\n$1\r\n2\r\n$1\r\n2\r\n:-1\r\n"
    );
    assert_eq!(it.says("DEL b\r\nRENAMENX a b\r\nEXISTS a b\r\n"), ":1\r\n:1\r\n:1\r\n");
}

#[test]
fn a_move_begins_again_if_its_keys_change_in_between() {
    let mut it = Sharded::new();
    it.says("SET a 1\r\n");
    it.client.connection.received(b"RENAME a b\r\nGET b\r\n");
    it.step();
    let slots = Slots::new(64);
    let change = crate::Command::Append((&b"a"[..]).into(), (&b"2"[..]).into());
    let plan = Plan::new(change, slots, Now(1));
    assert_eq!(it.run(&plan), Reply::Int(2), "another client changes the source");
    assert_eq!(it.says(""), "+OK\r\n$2\r\n12\r\n", "what was written in between is not lost");
    it.client.connection.received(b"COPY b a\r\nMGET a b\r\n");
    it.step();
    let set = crate::Command::set((&b"a"[..]).into(), (&b"new"[..]).into());
    assert_eq!(it.run(&Plan::new(set, slots, Now(1))), Reply::Ok, "another client creates the target");
    assert_eq!(it.says(""), ":0\r\n*2\r\n$3\r\nnew\r\n$2\r\n12\r\n");
}

#[test]
fn a_move_does_not_try_for_ever() {
    let mut it = Sharded::new();
    it.says("SET a 1\r\n");
    it.client.connection.received(b"RENAME a b\r\nPING\r\n");
    let append = || crate::Command::Append((&b"a"[..]).into(), (&b"2"[..]).into());
    let mut steps = 0;
    while let Some(plan) = it.client.connection.next(Now(1)) {
        let reply = it.run(&plan);
        it.client.connection.answer(reply);
        it.run(&Plan::new(append(), Slots::new(64), Now(1)));
        steps += 1;
    }
    let said = it.client.reads();
    assert!(said.starts_with("-TRYAGAIN ") && said.ends_with("\r\n+PONG\r\n"), "{said}");
    assert!((100..400).contains(&steps), "{steps}");
}

#[test]
fn keys_of_several_slots_cannot_be_moved_in_a_transaction() {
    for command in ["RENAME a b", "RENAMENX a b", "COPY a b", "MSETNX a 1 b 2"] {
        // The same with one shard, so that all models reply the same.
        let said = client().says(format!("MULTI\r\n{command}\r\nEXEC\r\n"));
        let refused = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
        let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        assert_eq!(said, format!("+OK\r\n{refused}{aborted}"), "{command}");
    }
    let said = Sharded::new().says("MULTI\r\nSET {t}a 1\r\nRENAME {t}a {t}b\r\nGET {t}b\r\nEXEC\r\n");
    assert!(said.ends_with("*3\r\n+OK\r\n+OK\r\n$1\r\n1\r\n"), "{said}");
}

/// Replies before HELLO are in the old protocol, even if they are not encoded yet.
#[test]
fn hello_changes_the_protocol_of_this_connection_and_of_later_replies() {
    let mut it = Sharded::new();
    it.says("SET a 1\r\n");
    let said = it.says("GET zz\r\nCONFIG GET save\r\nHELLO 3\r\nGET zz\r\nMGET a zz\r\nCONFIG GET save\r\nHELLO 2\r\nGET zz\r\n");
    let (before, after) = said.split_once("%7\r\n$6\r\nserver\r\n").expect("the reply to HELLO 3 is a map");
    assert_eq!(before, "$-1\r\n*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    let (greeting, after) = after.split_once("*0\r\n").unwrap();
    assert!(greeting.contains("$5\r\nproto\r\n:3\r\n"), "{greeting}");
    let (after, rest) = after.split_once("*14\r\n").expect("the reply to HELLO 2 is an array");
    assert_eq!(after, "_\r\n*2\r\n$1\r\n1\r\n_\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    assert!(rest.ends_with("$-1\r\n"), "{rest}");
    assert_eq!(it.says("HELLO 3\r\nRESET\r\nGET zz\r\n").split_once("+RESET\r\n").unwrap().1, "$-1\r\n");
}

#[test]
fn reset_takes_the_authentication_back() {
    let mut client = Client::with(Config { password: Some("secret".into()), ..Config::default() });
    assert_eq!(client.says("AUTH secret\r\nCLIENT SETNAME me\r\nMULTI\r\n"), "+OK\r\n+OK\r\n+OK\r\n");
    assert_eq!(client.connection.time_left(), None);
    assert_eq!(client.says("RESET\r\nPING\r\n"), "+RESET\r\n-NOAUTH Authentication required.\r\n");
    assert!(client.connection.time_left().is_some(), "it has the time of a new client");
    assert_eq!(
        client.says("AUTH secret\r\nCLIENT GETNAME\r\nEXEC\r\n"),
        "+OK\r\n$-1\r\n-ERR EXEC without MULTI\r\n"
    );
    assert_eq!(client.connection.time_left(), None);
}

#[test]
fn a_client_says_and_asks_about_itself() {
    let mut client = client();
    assert_eq!(
        client.says("CLIENT SETNAME me\r\nCLIENT SETINFO LIB-NAME lib\r\nCLIENT SETINFO lib-ver 1.2\r\n"),
        "+OK\r\n+OK\r\n+OK\r\n"
    );
    let info = client.says("CLIENT INFO\r\n");
    assert!(
        info.contains("id=1 name=me age=") && info.contains(" resp=2 lib-name=lib lib-ver=1.2\n"),
        "{info}"
    );
    assert_eq!(client.says("CLIENT LIST\r\n"), info);
    assert_eq!(client.says("CLIENT LIST ID 2 3\r\nCLIENT LIST TYPE pubsub\r\n"), "$0\r\n\r\n$0\r\n\r\n");
    assert_eq!(client.says("CLIENT SETINFO foo x\r\n"), "-ERR Unrecognized option 'foo'\r\n");
    for refused in ["TRACKING ON", "REPLY OFF", "KILL 1"] {
        let said = client.says(format!("CLIENT {refused}\r\n"));
        assert!(said.starts_with("-ERR unknown subcommand '"), "{said}");
    }
}
