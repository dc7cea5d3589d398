//! The lifeline of a worker that is told what to do on it: a socket that keeps messages apart, each of which may carry a descriptor.
//!
//! It is the worker's standard input, and ends with either side.

use std::{
    env,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::process::{Process, WORKER};

/// No message is longer. A socket has room for one by default.
const LONGEST: usize = 192 << 10;

/// Starts a worker for the work of this name, and returns it with this end of its lifeline.
pub(crate) fn start(work: &str) -> io::Result<(Process, OwnedFd)> {
    let (lifeline, input) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new(env::current_exe()?);
    // A Ctrl-C in the terminal is for the coordinator, which decides.
    command.env(WORKER, work).stdin(input).stdout(Stdio::null()).process_group(0);
    Ok((Process::spawn(&mut command)?, lifeline))
}

/// Never waits: a worker that does not listen to what little it is told is suspended, or dying.
pub(crate) fn send(to: &OwnedFd, message: &impl Serialize, with: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).expect("plain data serializes");
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = with.map(|fd| [fd]);
    if let Some(fds) = &fds {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "there is space for one");
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, flags)?;
    Ok(())
}

/// The next message, and what came with it. None at the end.
pub(crate) fn receive<M: DeserializeOwned>(
    from: &OwnedFd,
    flags: RecvFlags,
) -> Result<Option<(M, Option<OwnedFd>)>, Errno> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let length = recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?.bytes;
    if length == 0 {
        return Ok(None);
    }
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let message = postcard::from_bytes(&bytes[..length]).map_err(|_| Errno::BADMSG)?;
    Ok(Some((message, fd)))
}
