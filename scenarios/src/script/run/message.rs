//! Messages of `sendmsg` and `recvmsg`: buffers, flags and control messages, as scripts state them, and what was
//! seen in their place.
//!
//! Of control messages there are `TCP_CM_INQ`, timestamps (`SCM_TIMESTAMPING`), entries of the error queue
//! (`IP_RECVERR`, `IPV6_RECVERR`) and, to send, `SO_TIMESTAMPING`.

use super::words::{constant, length, member, members, number, optional};
use crate::script::ast::{Expression, Field};
use crate::units::Complaint;

const FORM: &str = "write {cmsg_level=L, cmsg_type=T, cmsg_data=D}, where D is a number, {scm_sec=S, scm_nsec=N} or \
                    {ee_errno=E, ee_origin=O, ee_type=T, ee_code=C, ee_info=I, ee_data=D}";

/// A message. What a script leaves open is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Octets of each buffer.
    pub buffers: Vec<u64>,
    /// `msg_flags`
    pub flags: Option<i64>,
    /// `msg_control`
    pub control: Option<Vec<Control>>,
}

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `cmsg_level`
    pub level: i64,
    /// `cmsg_type`
    pub kind: i64,
    /// `cmsg_data`
    pub data: Data,
}

/// What a control message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// `...`
    Any,
    /// A number.
    Number(i64),
    /// `struct scm_timestamping`: nanoseconds from the start of the script.
    Time(i64),
    /// `struct sock_extended_err`: number of the error, origin, type, code, information, data.
    Error([Option<i64>; 6]),
}

/// Members of `struct sock_extended_err`.
const ERROR_MEMBERS: [&str; 6] = ["ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data"];

/// Level and type of an entry of the error queue, by the family of the socket.
#[must_use]
pub fn error_kind(ipv6: bool) -> (i64, i64) {
    let of = |level, kind| (constant(level).unwrap_or_default(), constant(kind).unwrap_or_default());
    if ipv6 { of("SOL_IPV6", "IPV6_RECVERR") } else { of("SOL_IP", "IP_RECVERR") }
}

impl Message {
    /// Reads `{msg_name(...)=..., msg_iov(1)=[{..., 100}], msg_flags=F, msg_control=[{...}]}`. `CMSG_LEVEL_IP` and
    /// `CMSG_TYPE_RECVERR` are level and type of the error queue for the family of the socket.
    ///
    /// # Errors
    /// A message without buffers, and control messages of other forms.
    pub fn read(expression: &Expression, ipv6: bool) -> Result<Self, Complaint> {
        let fields = members(expression).unwrap_or_default();
        let buffers = match member(fields, "msg_iov") {
            Some(vector) => buffers(vector)?,
            None => {
                return Err(Complaint::new(format!("`{expression}` has no msg_iov"), "give it one"));
            }
        };
        let flags = member(fields, "msg_flags").map(optional).transpose()?.flatten();
        let control = match member(fields, "msg_control") {
            Some(Expression::Array(items)) => {
                Some(items.iter().map(|item| Control::read(item, ipv6)).collect::<Result<_, _>>()?)
            }
            None | Some(Expression::Ellipsis) => None,
            Some(other) if optional(other).is_ok_and(|value| value == Some(0)) => None,
            Some(other) => {
                return Err(Complaint::new(format!("`{other}` is no list of control messages"), FORM));
            }
        };
        Ok(Self { buffers, flags, control })
    }

    /// Octets of all buffers.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.buffers.iter().sum()
    }

    /// Whether there is no room for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what was received is as stated, times to `tolerance` nanoseconds.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, flags: i64, seen: &[Control], tolerance: u64) -> Result<(), Complaint> {
        if let Some(stated) = self.flags
            && stated != flags
        {
            return Err(Complaint::new(format!("msg_flags is {flags:#x}"), format!("expected {stated:#x}")));
        }
        let Some(stated) = &self.control else { return Ok(()) };
        let same = |stated: &Control, seen: &Control| {
            // One script serves sockets of both families.
            let errors = [false, true].map(error_kind);
            let (kind, kind_seen) = ((stated.level, stated.kind), (seen.level, seen.kind));
            let alike = kind == kind_seen || errors.contains(&kind) && errors.contains(&kind_seen);
            alike && stated.data.allows(&seen.data, tolerance)
        };
        if stated.len() == seen.len() && stated.iter().zip(seen).all(|(stated, seen)| same(stated, seen)) {
            return Ok(());
        }
        Err(Complaint::new(
            format!("the control messages are {}", list(seen)),
            format!("expected {}", list(stated)),
        ))
    }
}

impl Control {
    fn read(item: &Expression, ipv6: bool) -> Result<Self, Complaint> {
        let wrong = || Complaint::new(format!("`{item}` is no control message"), FORM);
        let fields = members(item).ok_or_else(wrong)?;
        let of_family = |name: &str| -> Result<i64, Complaint> {
            let (level, kind) = error_kind(ipv6);
            match member(fields, name).ok_or_else(wrong)? {
                Expression::Name(name) if name == "CMSG_LEVEL_IP" => Ok(level),
                Expression::Name(name) if name == "CMSG_TYPE_RECVERR" => Ok(kind),
                other => number(other),
            }
        };
        let data = match member(fields, "cmsg_data") {
            None => Data::Any,
            Some(data) => match members(data) {
                Some(fields) => structure(fields)?.ok_or_else(wrong)?,
                None => optional(data)?.map_or(Data::Any, Data::Number),
            },
        };
        Ok(Self { level: of_family("cmsg_level")?, kind: of_family("cmsg_type")?, data })
    }
}

/// One of the structures that control messages carry.
fn structure(fields: &[Field]) -> Result<Option<Data>, Complaint> {
    let of = |name: &str| member(fields, name).map(optional).transpose().map(Option::flatten);
    let seconds = of("scm_sec")?.or(of("tv_sec")?);
    let nanos = of("scm_nsec")?.or(of("tv_nsec")?);
    if let Some((seconds, nanos)) = seconds.zip(nanos) {
        return Ok(Some(Data::Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))));
    }
    if !ERROR_MEMBERS.iter().any(|name| member(fields, name).is_some()) {
        return Ok(None);
    }
    let mut error = [None; 6];
    for (value, name) in error.iter_mut().zip(ERROR_MEMBERS) {
        *value = of(name)?;
    }
    Ok(Some(Data::Error(error)))
}

impl Data {
    fn allows(&self, seen: &Self, tolerance: u64) -> bool {
        match (self, seen) {
            (Self::Any, _) => true,
            (Self::Time(stated), Self::Time(seen)) => stated.abs_diff(*seen) <= tolerance,
            (Self::Error(stated), Self::Error(seen)) => {
                stated.iter().zip(seen).all(|(stated, seen)| stated.is_none() || stated == seen)
            }
            (stated, seen) => stated == seen,
        }
    }
}

fn list(control: &[Control]) -> String {
    let shown: Vec<_> = control.iter().map(ToString::to_string).collect();
    format!("[{}]", shown.join(", "))
}

impl core::fmt::Display for Control {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{{cmsg_level={}, cmsg_type={}", self.level, self.kind)?;
        match &self.data {
            Data::Any => {}
            Data::Number(value) => write!(f, ", cmsg_data={value}")?,
            Data::Time(nanos) => {
                let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
                write!(f, ", cmsg_data={{scm_sec={seconds}, scm_nsec={nanos}}}")?;
            }
            Data::Error(values) => {
                let shown: Vec<_> = ERROR_MEMBERS
                    .iter()
                    .zip(values)
                    .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
                    .collect();
                write!(f, ", cmsg_data={{{}}}", shown.join(", "))?;
            }
        }
        f.write_str("}")
    }
}

/// Octets of each buffer of a vector: `[{..., 100}, {..., 200}]`.
///
/// # Errors
/// If it is no vector.
pub fn buffers(expression: &Expression) -> Result<Vec<u64>, Complaint> {
    let wrong = |item: &Expression| Complaint::new(format!("`{item}` is no buffer"), "write {..., 100}");
    let Expression::Array(items) = expression else { return Err(wrong(expression)) };
    let len = |item: &Expression| {
        let Expression::Struct(fields) = item else { return Err(wrong(item)) };
        let len = member(fields, "iov_len").or(fields.last().map(|field| &field.value));
        length(len.ok_or_else(|| wrong(item))?)
    };
    items.iter().map(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::ast::Action;
    use crate::script::{Definitions, Script};

    fn message(text: &str, ipv6: bool) -> Result<Message, Complaint> {
        let line = format!("0 recvmsg(3, {text}, 0) = 0\n");
        let script =
            Script::parse("message.pkt", &line, &Definitions::default()).expect("the script is right");
        let Action::Call(call) = &script.events[0].action else { panic!("it is a call") };
        Message::read(&call.arguments[1], ipv6)
    }

    #[test]
    fn entries_of_the_error_queue_have_the_level_of_the_family() {
        let text = "{msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE, msg_control=[\
                    {cmsg_level=CMSG_LEVEL_IP, cmsg_type=CMSG_TYPE_RECVERR, \
                    cmsg_data={ee_errno=0, ee_origin=SO_EE_ORIGIN_ZEROCOPY, ee_info=2, ee_data=4}}]}";
        for (ipv6, level, kind) in [(false, 0, 11), (true, 41, 25)] {
            let read = message(text, ipv6).expect("the message is right");
            let data = Data::Error([Some(0), Some(5), None, None, Some(2), Some(4)]);
            assert_eq!(read.control, Some(vec![Control { level, kind, data }]));
            assert_eq!((read.len(), read.flags), (0, Some(0x2000)));
        }
    }

    #[test]
    fn what_is_seen_is_compared_as_far_as_stated() {
        let text = "{msg_iov(1)=[{..., 5}, {..., 6}], msg_control=[{cmsg_level=SOL_SOCKET, \
                    cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=1, scm_nsec=500}}]}";
        let read = message(text, false).expect("the message is right");
        let seen = |nanos| [Control { level: 1, kind: 37, data: Data::Time(nanos) }];
        assert_eq!(read.check(7, &seen(1_000_000_600), 100), Ok(()));
        assert!(read.check(0, &seen(1_000_000_601), 100).is_err());
        assert!(read.check(0, &[], 100).is_err());
        assert_eq!(read.buffers, [5, 6]);
    }

    #[test]
    fn other_control_messages_are_refused() {
        for wrong in ["[1]", "{a=1}", "[{cmsg_level=SOL_SOCKET, cmsg_type=1, cmsg_data={x=1}}]"] {
            let text = format!("{{msg_iov(1)=[{{..., 0}}], msg_control={wrong}}}");
            assert!(message(&text, false).is_err(), "{wrong}");
        }
        assert!(message("{msg_flags=0}", false).is_err(), "no buffers");
    }
}
