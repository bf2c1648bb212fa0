//! `sendmsg` and `recvmsg` of scripts, and what control messages and the error queue have to tell.

use mptcp_model::socket::{Call as SocketCall, ErrorMessage};
use sim_core::Instant;

use super::calls::{Begun, RECEIVE_FLAGS, SEND_FLAGS, immediate, message_flags};
use super::message::{Control, Data, Message, error_kind};
use super::words::{constant, member, members, optional};
use super::{Runner, Variant, words};
use crate::script::ast::{Call, Expression};
use crate::units::Complaint;

impl Runner<'_> {
    fn has_ipv6_sockets(&self) -> bool {
        self.variant != Variant::Ipv4
    }

    fn message(&self, expression: &Expression) -> Result<Message, Complaint> {
        Message::read(expression, self.has_ipv6_sockets())
    }

    pub(super) fn send_message(&mut self, arguments: &[Expression]) -> Begun {
        let fd = self.fd(&arguments[0])?;
        let message = self.message(&arguments[1])?;
        let fast_open = constant("MSG_FASTOPEN").unwrap_or_default();
        let bits = optional(&arguments[2])?.unwrap_or_default();
        let rest = Expression::Integer { value: i128::from(bits & !fast_open), hex: true };
        let mut flags = message_flags(Some(&rest), &SEND_FLAGS)?;
        if bits & fast_open != 0 {
            let name = members(&arguments[1]).and_then(|fields| member(fields, "msg_name"));
            flags.fast_open = Some(match name.map(words::address).transpose()?.flatten() {
                Some(Some(address)) => address,
                _ => self.peer(),
            });
        }
        for control in message.control.unwrap_or_default() {
            let timestamping = (constant("SOL_SOCKET"), constant("SO_TIMESTAMPING"))
                == (Some(control.level), Some(control.kind));
            match control.data {
                Data::Number(times) if timestamping => flags.times = Some(times as u32),
                _ => {
                    return Err(Complaint::new(
                        format!("`{control}` cannot be sent"),
                        "of control messages to send there is {cmsg_level=SOL_SOCKET, cmsg_type=SO_TIMESTAMPING, \
                         cmsg_data=N}",
                    ));
                }
            }
        }
        self.hand_over(SocketCall::SendMessage { fd, buffers: message.buffers, flags })
    }

    pub(super) fn receive_message(&mut self, call: &Call) -> Begun {
        let arguments = &call.arguments;
        let fd = self.fd(&arguments[0])?;
        let message = self.message(&arguments[1])?;
        let of_errors = constant("MSG_ERRQUEUE").unwrap_or_default();
        let bits = optional(&arguments[2])?.unwrap_or_default();
        let rest = Expression::Integer { value: i128::from(bits & !of_errors), hex: true };
        let flags = message_flags(Some(&rest), &RECEIVE_FLAGS)?;
        if bits & of_errors == 0 {
            return self.hand_over(SocketCall::Read { fd, len: message.len(), flags });
        }
        match self.sockets.read_error(&mut self.stack.host, fd, message.len()) {
            Ok(found) => {
                immediate(call, Ok(found.len.into()))?;
                self.check_error(&message, &found).map(|()| None)
            }
            Err(error) => immediate(call, Err(error)),
        }
    }

    /// Whether an entry of the error queue is as stated.
    fn check_error(&self, message: &Message, found: &ErrorMessage) -> Result<(), Complaint> {
        let flag = |name, set: bool| if set { constant(name).unwrap_or_default() } else { 0 };
        let mut flags = flag("MSG_ERRQUEUE", true) | flag("MSG_TRUNC", found.truncated);
        // Without room for them, control messages are cut off.
        flags |= flag("MSG_CTRUNC", message.control.is_none());
        let entry = &found.entry;
        let mut seen = Vec::new();
        if let Some(at) = entry.at {
            seen.push(self.time(at));
        }
        let (level, kind) = error_kind(self.has_ipv6_sockets());
        let values =
            [entry.errno, entry.origin.into(), entry.kind.into(), entry.code.into(), entry.info, entry.data];
        seen.push(Control { level, kind, data: Data::Error(values.map(|value| Some(value.into()))) });
        message.check(flags, &seen, self.script.tolerance().as_nanos())
    }

    /// What comes with data: when the last of it arrived (`tcp_recv_timestamp`), and how much is left to be read
    /// (`tcp_inq_hint`), one more if only the end is.
    pub(super) fn check_received(&self, call: &Call) -> Result<(), Complaint> {
        let message = self.message(&call.arguments[1])?;
        if message.control.as_ref().is_none_or(Vec::is_empty) {
            return message.check(0, &[], 0);
        }
        let fd = self.fd(&call.arguments[0])?;
        let Some(connection) = self.sockets.connection(&self.stack.host, fd) else {
            return message.check(0, &[], 0);
        };
        let mut seen = Vec::new();
        if let Some(at) = self.sockets.received_at(&self.stack.host, fd) {
            seen.push(self.time(at));
        }
        if self.sockets.tells_left(fd) {
            let readiness = connection.readiness();
            let left = readiness.readable.max(readiness.finished.into());
            seen.push(Control {
                level: constant("SOL_TCP").unwrap_or_default(),
                kind: constant("TCP_CM_INQ").unwrap_or_default(),
                data: Data::Number(i64::try_from(left).unwrap_or(i64::MAX)),
            });
        }
        message.check(0, &seen, self.script.tolerance().as_nanos())
    }

    fn time(&self, at: Instant) -> Control {
        let nanos = at.saturating_since(self.start).as_nanos();
        Control {
            level: constant("SOL_SOCKET").unwrap_or_default(),
            kind: constant("SCM_TIMESTAMPING").unwrap_or_default(),
            data: Data::Time(i64::try_from(nanos).unwrap_or(i64::MAX)),
        }
    }
}
