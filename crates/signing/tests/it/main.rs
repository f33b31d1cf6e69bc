//! The room through its public face: round trips, refusals, and keys and signatures made by the `openssl` command.

#[cfg(test)]
mod openssl;
#[cfg(test)]
mod rules;
