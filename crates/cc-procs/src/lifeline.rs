//! The lifeline of a worker that also carries its requests: a socket that preserves message
//! boundaries, and on which a message may carry a descriptor.
//!
//! It is the worker's standard input. Either side sees it close when the other one ends.

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

/// Maximum size of a message, in bytes: by default, a socket's buffer has room for one.
const MAX_MESSAGE: usize = 192 << 10;

/// Starts a worker for the work with this name, and returns it with this end of its lifeline.
pub(crate) fn start(work: &str) -> io::Result<(Process, OwnedFd)> {
    // CLOEXEC: a worker that inherited the coordinator's end of another worker's lifeline would
    // keep that open after the coordinator's death. `stdin` gives this worker its own end without
    // the flag.
    let (lifeline, input) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new(env::current_exe()?);
    // A process group of its own: a Ctrl-C in the terminal signals only the coordinator, which
    // decides.
    command.env(WORKER, work).stdin(input).stdout(Stdio::null()).process_group(0);
    Ok((Process::spawn(&mut command)?, lifeline))
}

/// Sends a message and, with it, a descriptor. Never waits: if the socket is full, although
/// messages are few, the worker is suspended or dying, and this is an error.
pub(crate) fn send(to: &OwnedFd, message: &impl Serialize, with: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).expect("plain data serializes");
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = with.map(|fd| [fd]);
    if let Some(fds) = &fds {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "there is space for one descriptor");
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, flags)?;
    Ok(())
}

/// Receives the next message, and the descriptor that it carries. `None` if the lifeline is closed.
pub(crate) fn receive<M: DeserializeOwned>(
    from: &OwnedFd,
    flags: RecvFlags,
) -> Result<Option<(M, Option<OwnedFd>)>, Errno> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // CLOEXEC, or a process that this one starts would inherit the descriptor.
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
