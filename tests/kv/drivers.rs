//! A driver that is in common use, that of the `redis` crate, blocking and asynchronous. It tests
//! the requests that a driver sends on connecting, and how it divides them.

use std::time::Duration;

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::kv::Config;
use redis::{Commands, Connection, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, Value, pipe};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use super::server::Served;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_blocking_driver", blocking),
        Case::new("an_asynchronous_driver", asynchronous),
        Case::new("a_driver_with_a_password", with_password),
        Case::new("a_driver_sees_errors_as_what_they_are", errors),
    ]
}

/// The first runtime of a process opens two sockets, for signals, which stay open until the process
/// ends.
pub(super) fn warm_up() {
    drop(runtime());
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("it can be started")
}

fn client(served: &Served, password: Option<&str>) -> redis::Client {
    let info = format!("redis://{}/0", served.address).into_connection_info().expect("it is an address");
    let settings = info.redis_settings().clone();
    let settings = match password {
        Some(password) => settings.set_password(password),
        None => settings,
    };
    redis::Client::open(info.set_redis_settings(settings)).expect("it is an address")
}

fn connect(served: &Served) -> Connection {
    client(served, None).get_connection().expect("it is let in")
}

fn blocking(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let mut redis = connect(&served);
    let () = redis.set("a", b"\0\r\n").expect("it is answered");
    assert_eq!(redis.get::<_, Vec<u8>>("a").expect("it is answered"), b"\0\r\n");
    assert_eq!(redis.get::<_, Option<String>>("missing").expect("it is answered"), None);
    let () = redis.mset(&[("b", 1), ("c", 2)]).expect("it is answered");
    assert_eq!(
        redis.mget::<_, Vec<Option<i64>>>(&["b", "c", "missing"]).expect("it is answered"),
        [Some(1), Some(2), None]
    );
    assert_eq!(redis.incr::<_, _, i64>("b", 41).expect("it is answered"), 42);
    assert!(redis.pexpire::<_, bool>("c", 100_000).expect("it is answered"));
    assert!((99..=100).contains(&redis.ttl::<_, i64>("c").expect("it is answered")));
    assert_eq!(redis.del::<_, i64>(&["a", "b", "c", "d"]).expect("it is answered"), 3);
    assert!(
        redis::cmd("INFO")
            .query::<redis::InfoDict>(&mut redis)
            .expect("it is answered")
            .contains_key(&"shard_epoch")
    );
}

/// With an optimistic lock, as in the driver's documentation: all clients add to the same number,
/// by WATCH, GET and EXEC.
fn transaction(mut redis: Connection, times: usize) {
    for _ in 0..times {
        let (sum,): (i64,) = redis::transaction(&mut redis, &["sum"], |redis, pipe| {
            let sum: i64 = redis.get::<_, Option<i64>>("sum")?.unwrap_or_default();
            pipe.set("sum", sum + 1).ignore().get("sum").query(redis)
        })
        .expect("it is answered");
        assert!(sum > 0);
    }
}

fn asynchronous(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(|| transaction(connect(&served), 50))));
    });
    let sums: Vec<i64> = runtime().block_on(async {
        // One connection for all tasks, for which this driver is made.
        let redis = client(&served, None).get_multiplexed_async_connection().await.expect("it is answered");
        let mut tasks = JoinSet::new();
        for key in 0..100 {
            tasks.spawn(count(redis.clone(), key));
        }
        tasks.join_all().await
    });
    assert_eq!(sums.iter().sum::<i64>(), 100 * 20);
    assert_eq!(connect(&served).get::<_, i64>("sum").expect("it is answered"), 150);
    assert_eq!(redis::cmd("DBSIZE").query::<i64>(&mut connect(&served)).expect("it is answered"), 101);
}

/// Adds to its own number, in pipelines, the last of which is a transaction.
async fn count(mut redis: redis::aio::MultiplexedConnection, key: usize) -> i64 {
    for _ in 0..9 {
        let twice = pipe()
            .incr(key, 1)
            .incr(key, 1)
            .query_async::<(i64, i64)>(&mut redis)
            .await
            .expect("it is answered");
        assert_eq!(twice.0 + 1, twice.1);
    }
    let (first, second) = pipe()
        .atomic()
        .incr(key, 1)
        .incr(key, 1)
        .query_async::<(i64, i64)>(&mut redis)
        .await
        .expect("it is answered");
    assert_eq!(first + 1, second);
    second
}

fn with_password(subject: &Subject) {
    let config = Config { password: Some("secret".to_owned()), ..Config::default() };
    let served = Served::start(subject, &config);
    let refused = |password| client(&served, password).get_connection().err().map(|error| error.kind());
    assert_eq!(refused(Some("secret")), None);
    assert_eq!(refused(Some("wrong")), Some(ErrorKind::AuthenticationFailed));
    let mut redis = client(&served, Some("secret"))
        .get_connection_with_timeout(Duration::from_secs(30))
        .expect("it is answered");
    let () = redis.set("a", 1).expect("it is answered");
}

fn errors(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let mut redis = connect(&served);
    let () = redis.set("text", "x").expect("it is answered");
    let code =
        |error: RedisResult<Value>| error.err().and_then(|error: RedisError| error.code().map(str::to_owned));
    assert_eq!(code(redis.incr("text", 1)).as_deref(), Some("ERR"));
    assert_eq!(code(redis::cmd("NONSENSE").query(&mut redis)).as_deref(), Some("ERR"));
    let broken = pipe().atomic().cmd("SET").arg("text").ignore().query::<Value>(&mut redis);
    assert!(broken.is_err());
    assert_eq!(redis.get::<_, String>("text").expect("it is answered"), "x");
}
