//! TCP and MPTCP options.

use super::cursor::{Cursor, Result};
use super::packet;
use crate::script::ast::OptionsSpec;
use crate::script::option::{
    CapableSpec, DataNumberSpec, DssSpec, HmacSpec, JoinAckHmac, KeyRef, OptionSpec, TokenSpec, Width,
};

/// Words that begin an option.
const OPTIONS: [&str; 22] = [
    "mss",
    "sackOK",
    "nop",
    "eol",
    "wscale",
    "TS",
    "sack",
    "FO",
    "FOEXP",
    "md5",
    "mpcapable",
    "dss",
    "mp_join_syn",
    "mp_join_syn_ack",
    "mp_join_ack",
    "add_address",
    "remove_address",
    "mp_prio",
    "mp_fail",
    "mp_fastclose",
    "mp_reset",
    "kind",
];

/// After `<`.
pub(super) fn options(cursor: &mut Cursor<'_>) -> Result<OptionsSpec> {
    if cursor.eat("...") {
        cursor.expect(">", "`...` stands for all options")?;
        return Ok(OptionsSpec::Any);
    }
    let mut list = Vec::new();
    if cursor.eat(">") {
        return Ok(OptionsSpec::List(list));
    }
    loop {
        list.push(option(cursor)?);
        if cursor.eat(">") {
            return Ok(OptionsSpec::List(list));
        }
        cursor.expect(",", "options are separated by `,` and end with `>`")?;
    }
}

pub(super) fn option(cursor: &mut Cursor<'_>) -> Result<OptionSpec> {
    cursor.skip();
    let start = cursor.offset();
    let Some(word) = cursor.word() else { return Err(cursor.found("write a TCP option, such as `nop`")) };
    Ok(match word {
        "nop" => OptionSpec::Nop,
        "eol" => OptionSpec::EndOfList,
        "mss" => OptionSpec::Mss(cursor.number_u16("a segment size")?),
        "wscale" => OptionSpec::WindowScale(cursor.number_u8("a window shift")?),
        "sackOK" => OptionSpec::SackOk,
        "sack" => sack(cursor)?,
        "TS" => {
            keyword(cursor, "val", "timestamps are `TS val N ecr N`")?;
            let val = cursor.number_u32("a timestamp")?;
            keyword(cursor, "ecr", "timestamps are `TS val N ecr N`")?;
            OptionSpec::Timestamps { val, ecr: cursor.number_u32("a timestamp")? }
        }
        "FO" | "FOEXP" => {
            let cookie = match cursor.peek() {
                Some(',' | '>') | None => Vec::new(),
                _ => cursor.hex("a Fast Open cookie")?,
            };
            OptionSpec::FastOpen { experimental: word == "FOEXP", cookie }
        }
        "md5" => match cursor.peek() {
            Some(',' | '>') | None => OptionSpec::Md5(None),
            _ => {
                let at = cursor.offset();
                let digest = cursor.hex("an MD5 digest")?;
                match digest.try_into() {
                    Ok(digest) => OptionSpec::Md5(Some(digest)),
                    Err(_) => {
                        return Err(cursor.error_at(at, "not an MD5 digest", "write 32 hexadecimal digits"));
                    }
                }
            }
        },
        "kind" => {
            let kind = cursor.number("an option kind", 255)? as u8;
            if kind < 2 {
                return Err(cursor.error_at(
                    start,
                    format!("kind {kind} has no length"),
                    "write `eol` or `nop`",
                ));
            }
            let body = match cursor.peek() {
                Some(',' | '>') | None => Vec::new(),
                _ => cursor.hex("the octets after kind and length")?,
            };
            OptionSpec::Other { kind, body }
        }
        "mpcapable" => OptionSpec::Capable(capable(cursor)?),
        "dss" => OptionSpec::Dss(dss(cursor)?),
        "mp_join_syn" | "mp_join_syn_ack" | "mp_join_ack" => join(cursor, word)?,
        "add_address" => add_address(cursor)?,
        "remove_address" => remove_address(cursor)?,
        "mp_prio" => {
            assignment(cursor, "backup", "`mp_prio backup=1`")?;
            let backup = flag(cursor)?;
            let address_id = cursor.eat_assignment("address_id");
            let address_id = if address_id { Some(cursor.number_u8("an address id")?) } else { None };
            OptionSpec::Prio { backup, address_id }
        }
        "mp_fail" => {
            assignment(cursor, "dsn8", "`mp_fail dsn8=1`")?;
            OptionSpec::Fail { dsn: cursor.number("a data sequence number", u64::MAX)? }
        }
        "mp_fastclose" => {
            let key = if cursor.peek_word().is_some() { Some(key(cursor)?) } else { None };
            OptionSpec::FastClose(key)
        }
        "mp_reset" => {
            let reason = cursor.number_u8("the reason of a reset")?;
            let flags = if cursor.eat_word("flags") { flags(cursor, &RESET_FLAGS)? } else { 0 };
            if flags > 0x0f {
                return Err(cursor.error_at(start, "mp_reset has four flags", "write `flags[flag_t]`"));
            }
            OptionSpec::Reset { reason, flags }
        }
        other => return Err(cursor.unknown(start, "TCP option", other, &OPTIONS)),
    })
}

fn keyword(cursor: &mut Cursor<'_>, word: &str, help: &str) -> Result<()> {
    if cursor.eat_word(word) { Ok(()) } else { Err(cursor.found(&format!("write `{word}`: {help}"))) }
}

fn assignment(cursor: &mut Cursor<'_>, name: &str, help: &str) -> Result<()> {
    if cursor.eat_assignment(name) {
        Ok(())
    } else {
        Err(cursor.found(&format!("write `{name}=`, as in {help}")))
    }
}

fn flag(cursor: &mut Cursor<'_>) -> Result<bool> {
    cursor.number("0 or 1", 1).map(|value| value == 1)
}

fn sack(cursor: &mut Cursor<'_>) -> Result<OptionSpec> {
    let mut blocks = Vec::new();
    while cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        let left = cursor.number_u32("the left edge of a block")?;
        cursor.expect(":", "blocks are `left:right`")?;
        blocks.push((left, cursor.number_u32("the right edge of a block")?));
    }
    if blocks.is_empty() || blocks.len() > 4 {
        return Err(cursor.found("`sack` has one to four blocks `left:right`"));
    }
    Ok(OptionSpec::Sack(blocks))
}

/// Names of the flags of MP_CAPABLE and their bits.
pub(in crate::script) const CAPABLE_FLAGS: [(&str, u8); 8] = [
    ("flag_a", 0x80),
    ("flag_b", 0x40),
    ("flag_c", 0x20),
    ("flag_d", 0x10),
    ("flag_e", 0x08),
    ("flag_f", 0x04),
    ("flag_g", 0x02),
    ("flag_h", 0x01),
];

/// Names of the flags of MP_TCPRST and their bits.
pub(in crate::script) const RESET_FLAGS: [(&str, u8); 4] =
    [("flag_u", 0x08), ("flag_v", 0x04), ("flag_w", 0x02), ("flag_t", 0x01)];

/// `[flag_b, flag_h]` or a number.
fn flags(cursor: &mut Cursor<'_>, names: &[(&str, u8)]) -> Result<u8> {
    if !cursor.eat("[") {
        return cursor.number_u8("flags: `[flag_h]` or a number");
    }
    let mut flags = 0;
    loop {
        cursor.skip();
        let start = cursor.offset();
        let word = cursor.word().unwrap_or_default();
        let Some((_, bit)) = names.iter().find(|(name, _)| *name == word) else {
            let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            return Err(cursor.unknown(start, "flag", word, &known));
        };
        flags |= bit;
        if cursor.eat("]") {
            return Ok(flags);
        }
        cursor.expect(",", "flags are separated by `,` and end with `]`")?;
    }
}

/// `name` or `name=N`
fn key(cursor: &mut Cursor<'_>) -> Result<KeyRef> {
    let Some(name) = cursor.word() else {
        return Err(cursor.found("write the name of a key, such as `skey`"));
    };
    let value = if cursor.eat("=") { Some(cursor.number("a key", u64::MAX)?) } else { None };
    Ok(KeyRef { name: name.to_owned(), value })
}

fn capable(cursor: &mut Cursor<'_>) -> Result<CapableSpec> {
    cursor.skip();
    let start = cursor.offset();
    let version = match cursor.word().and_then(|word| word.strip_prefix('v')).and_then(|v| v.parse().ok()) {
        Some(version @ 0..=15) => version,
        _ => {
            cursor.rewind(start);
            return Err(cursor.found("write the version of MPTCP: `v0` or `v1`"));
        }
    };
    keyword(cursor, "flags", "`mpcapable v1 flags[flag_h] nokey`")?;
    let flags = flags(cursor, &CAPABLE_FLAGS)?;
    let mut keys = Vec::new();
    if !cursor.eat_word("nokey") {
        keyword(cursor, "key", "write `nokey`, `key[a]` or `key[a, b]`")?;
        cursor.expect("[", "keys stand in brackets")?;
        keys.push(key(cursor)?);
        if cursor.eat(",") {
            keys.push(key(cursor)?);
        }
        cursor.expect("]", "there are one or two keys")?;
    }
    let at = cursor.offset();
    let mut data_len = None;
    if cursor.eat_word("mpcdatalen") {
        if keys.len() != 2 {
            return Err(cursor.error_at(
                at,
                "a data length without two keys",
                "write `key[ckey, skey] mpcdatalen N`",
            ));
        }
        data_len = Some(cursor.number_u16("octets of data")?);
    }
    let checksum = data_len.is_some() && cursor.eat_word("csum");
    Ok(CapableSpec { version, flags, keys, data_len, checksum })
}

fn data_number(cursor: &mut Cursor<'_>, name: &str) -> Result<Option<DataNumberSpec>> {
    for (suffix, width, most) in [('4', Width::Four, u64::from(u32::MAX)), ('8', Width::Eight, u64::MAX)] {
        if cursor.eat_word(&format!("{name}{suffix}")) {
            let value =
                if cursor.eat("=") { Some(cursor.number("a data sequence number", most)?) } else { None };
            return Ok(Some(DataNumberSpec { width, value }));
        }
    }
    Ok(None)
}

fn dss(cursor: &mut Cursor<'_>) -> Result<DssSpec> {
    cursor.skip();
    let start = cursor.offset();
    let data_ack = data_number(cursor, "dack")?;
    let dsn = data_number(cursor, "dsn")?;
    let ssn = if cursor.eat_assignment("ssn") {
        Some(cursor.number_u32("a subflow sequence number")?)
    } else {
        None
    };
    let data_len = if cursor.eat_assignment("dll") { Some(cursor.number_u16("a length")?) } else { None };
    let no_checksum = cursor.eat_word("nocs");
    let fin = cursor.eat_word("fin");
    if fin && dsn.is_none() {
        return Err(cursor.error_at(start, "a DATA_FIN without a mapping", "add `dsn4` or `dsn8`"));
    }
    if cursor.peek_word().is_some() {
        return Err(cursor.found(
            "a dss is `dss [dack4|dack8[=N]] [dsn4|dsn8[=N]] [ssn=N] [dll=N] [nocs] [fin]`, in this order",
        ));
    }
    Ok(DssSpec { data_ack, dsn, ssn, data_len, no_checksum, fin })
}

fn hmac(cursor: &mut Cursor<'_>) -> Result<HmacSpec> {
    if cursor.eat_word("auto") {
        return Ok(HmacSpec::Auto);
    }
    cursor.number("`auto` or a HMAC", u64::MAX).map(HmacSpec::Value)
}

fn token(cursor: &mut Cursor<'_>) -> Result<TokenSpec> {
    if cursor.eat_word("auto") {
        return Ok(TokenSpec::Auto);
    }
    if cursor.eat_word("sha256_32") {
        cursor.expect("(", "the key stands in parentheses")?;
        let Some(name) = cursor.word() else { return Err(cursor.found("write the name of a key")) };
        cursor.expect(")", "the key ends")?;
        return Ok(TokenSpec::Hash(name.to_owned()));
    }
    cursor
        .number("`auto`, `sha256_32(key)` or a token", u64::from(u32::MAX))
        .map(|value| TokenSpec::Value(value as u32))
}

fn join(cursor: &mut Cursor<'_>, form: &str) -> Result<OptionSpec> {
    let fields: &[&str] = match form {
        "mp_join_syn" => &["backup", "address_id", "rand", "token"],
        "mp_join_syn_ack" => &["backup", "address_id", "rand", "sender_hmac"],
        _ => &["sender_hmac"],
    };
    let (mut backup, mut address_id, mut nonce) = (None, None, None);
    let (mut which, mut short, mut long) = (None, None, None);
    cursor.skip();
    let begin = cursor.offset();
    while let Some(name) = cursor.peek_word() {
        let start = cursor.offset();
        let Some(field) = fields.iter().find(|field| **field == name) else {
            return Err(cursor.unknown(start, &format!("field of {form}"), name, fields));
        };
        assignment(cursor, field, &format!("`{field}=...`"))?;
        let again = match *field {
            "backup" => backup.replace(flag(cursor)?).is_some(),
            "address_id" => address_id.replace(cursor.number_u8("an address id")?).is_some(),
            "rand" => nonce.replace(cursor.number_u32("a random number")?).is_some(),
            "token" => which.replace(token(cursor)?).is_some(),
            _ if form == "mp_join_ack" => long.replace(long_hmac(cursor)?).is_some(),
            _ => short.replace(hmac(cursor)?).is_some(),
        };
        if again {
            return Err(cursor.error_at(start, format!("`{field}` twice"), "write each field once"));
        }
    }
    let backup = backup.unwrap_or_default();
    match (form, which, short, long) {
        ("mp_join_syn", Some(token), ..) => Ok(OptionSpec::JoinSyn { backup, address_id, nonce, token }),
        ("mp_join_syn_ack", _, Some(hmac), _) => {
            Ok(OptionSpec::JoinSynAck { backup, address_id, nonce, hmac })
        }
        ("mp_join_ack", .., Some(hmac)) => Ok(OptionSpec::JoinAck { hmac }),
        _ => {
            let missing = if form == "mp_join_syn" { "token=sha256_32(skey)" } else { "sender_hmac=auto" };
            Err(cursor.error_at(begin, format!("{form} is not complete"), format!("add `{missing}`")))
        }
    }
}

fn long_hmac(cursor: &mut Cursor<'_>) -> Result<JoinAckHmac> {
    if cursor.eat_word("auto") {
        return Ok(JoinAckHmac::Auto);
    }
    cursor.skip();
    let start = cursor.offset();
    let octets = cursor.hex("`auto` or a HMAC")?;
    match octets.try_into() {
        Ok(octets) => Ok(JoinAckHmac::Value(octets)),
        Err(_) => {
            Err(cursor.error_at(start, "not a HMAC of 160 bits", "write 40 hexadecimal digits or `auto`"))
        }
    }
}

fn add_address(cursor: &mut Cursor<'_>) -> Result<OptionSpec> {
    let address_id = cursor.eat_assignment("address_id");
    let address_id = if address_id { Some(cursor.number_u8("an address id")?) } else { None };
    let address = packet::address(cursor)?;
    let port = if cursor.eat_assignment("port") { Some(cursor.number_u16("a port")?) } else { None };
    let hmac = if cursor.eat_word("addr_echo") {
        None
    } else if cursor.eat_assignment("hmac") {
        Some(hmac(cursor)?)
    } else {
        return Err(cursor.found("write `hmac=auto` or `addr_echo`"));
    };
    Ok(OptionSpec::AddAddress { address_id, address, port, hmac })
}

fn remove_address(cursor: &mut Cursor<'_>) -> Result<OptionSpec> {
    assignment(cursor, "address_id", "`remove_address address_id=[1,2]`")?;
    if !cursor.eat("[") {
        return Ok(OptionSpec::RemoveAddress(vec![cursor.number_u8("an address id")?]));
    }
    let mut ids = Vec::new();
    loop {
        ids.push(cursor.number_u8("an address id")?);
        if cursor.eat("]") {
            break;
        }
        cursor.expect(",", "ids are separated by `,` and end with `]`")?;
    }
    if ids.len() > 37 {
        return Err(cursor.found("a segment has room for at most 37 address ids"));
    }
    Ok(OptionSpec::RemoveAddress(ids))
}
