//! The grammar of conditions and actions, read in one pass over the text.
//!
//! The service's documentation distinguishes conditions from values. Both are read by one operator-precedence parser,
//! since a parenthesis does not tell what is in it, and every operator then checks which of the two it was given.
// docs/evidence/wire-protocol.md §7.3

use super::error::{ParseError, ParseErrorKind};
use super::expression::{
    Comparison, Constant, Expression, Operator, Predicate, Property, Statement, binding, is_reserved,
};
use super::like::TooLong;
use super::property::{SystemProperty, same_name};
use super::sql::Dialect;
use super::value::Value;
use winnow::Parser;
use winnow::combinator::{Infix, Postfix, Prefix, alt, expression, opt, preceded};
use winnow::error::{ErrMode, ParserError};
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{literal, one_of, take_while};

type Input<'t> = Stateful<LocatingSlice<&'t str>, State<'t>>;
type Parsed<T> = Result<T, ErrMode<Failure>>;
type InfixOperator<'t> = Infix<Input<'t>, Term, ErrMode<Failure>>;

/// Values of parameters by name, with or without `@`.
pub(super) type Parameters = [(String, Value<'static>)];

#[derive(Clone, Copy, Debug)]
struct State<'t> {
    dialect: &'t Dialect,
    parameters: &'t Parameters,
    /// Levels of nesting that the parser is in.
    depth: usize,
}

/// What is wrong, and where; the word there is looked up when the whole text is refused.
#[derive(Clone, Copy, Debug)]
struct Failure {
    position: usize,
    kind: ParseErrorKind,
}

impl<'t> ParserError<Input<'t>> for Failure {
    type Inner = Self;

    fn from_input(input: &Input<'t>) -> Self {
        Self { position: input.current_token_start(), kind: ParseErrorKind::Expected("something else") }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// What an operator is applied to.
struct Term {
    node: Node,
    /// Where it starts, in bytes.
    start: usize,
    /// Levels of the tree, which bounds the recursion of everything that walks it.
    depth: usize,
    /// Whether it stands in parentheses: such a chain of AND or OR is not continued.
    closed: bool,
}

/// Boxed, since it is moved through every frame of a deep recursion.
enum Node {
    Predicate(Box<Predicate>),
    Expression(Box<Expression>),
}

/// Reads a whole text as a condition.
pub(super) fn predicate(text: &str, parameters: &Parameters, dialect: &Dialect) -> Result<Predicate, ParseError> {
    parse(text, parameters, dialect, |input| {
        let term = term(input, binding::OR)?;
        end(input, "an operator or the end")?;
        term.predicate()
    })
}

/// Reads a whole text as statements.
pub(super) fn statements(text: &str, parameters: &Parameters, dialect: &Dialect) -> Result<Vec<Statement>, ParseError> {
    parse(text, parameters, dialect, |input| {
        let mut statements = Vec::new();
        loop {
            blanks(input)?;
            let start = input.checkpoint();
            let position = input.current_token_start();
            let set = match opt(word).parse_next(input)? {
                Some(word) if word.eq_ignore_ascii_case("SET") => true,
                Some(word) if word.eq_ignore_ascii_case("REMOVE") => false,
                Some(_) if !statements.is_empty() => {
                    return fail_at(position, ParseErrorKind::Expected("an operator, `;`, SET, REMOVE or the end"));
                }
                _ => {
                    input.reset(&start);
                    break;
                }
            };
            if statements.len() == dialect.statements {
                return fail_at(position, ParseErrorKind::TooManyStatements { limit: dialect.statements });
            }
            let (property, at) = property(input)?;
            if let Property::System(property) = property
                && !property.is_settable()
            {
                return fail_at(at, ParseErrorKind::ReadOnlySystemProperty(property));
            }
            statements.push(if set {
                expect(input, "=", "`=`")?;
                Statement::Set(property, value(input)?)
            } else {
                Statement::Remove(property)
            });
            opt(symbol(";")).parse_next(input)?;
        }
        if statements.is_empty() {
            return fail(input, ParseErrorKind::Expected("SET or REMOVE"));
        }
        end(input, "an operator, `;`, SET, REMOVE or the end")?;
        Ok(statements)
    })
}

fn parse<'t, T>(
    text: &'t str,
    parameters: &'t Parameters,
    dialect: &'t Dialect,
    mut parser: impl FnMut(&mut Input<'t>) -> Parsed<T>,
) -> Result<T, ParseError> {
    if let Some((position, _)) = text.char_indices().nth(dialect.characters) {
        return Err(ParseError::new(text, position, ParseErrorKind::TooLong { limit: dialect.characters }));
    }
    let mut input = Stateful { input: LocatingSlice::new(text), state: State { dialect, parameters, depth: 0 } };
    parser(&mut input).map_err(|error| match error {
        ErrMode::Cut(Failure { position, kind }) | ErrMode::Backtrack(Failure { position, kind }) => {
            ParseError::new(text, position, kind)
        }
        // Never reported for a text that is there as a whole.
        ErrMode::Incomplete(_) => ParseError::new(text, text.len(), ParseErrorKind::Expected("more")),
    })
}

/// A condition or value whose operators bind at least as tightly as `least`.
fn term<'t>(input: &mut Input<'t>, least: i64) -> Parsed<Term> {
    expression(operand).prefix(prefix).postfix(postfix).infix(infix).current_precedence_level(least).parse_next(input)
}

/// A value.
fn value(input: &mut Input<'_>) -> Parsed<Expression> {
    term(input, binding::SUM)?.expression()
}

/// What `parser` reads one level deeper.
fn nested<'t, T>(input: &mut Input<'t>, parser: impl FnOnce(&mut Input<'t>) -> Parsed<T>) -> Parsed<T> {
    descend(input)?;
    let parsed = parser(input)?;
    input.state.depth = input.state.depth.saturating_sub(1);
    Ok(parsed)
}

fn descend(input: &mut Input<'_>) -> Parsed<()> {
    input.state.depth += 1;
    let limit = input.state.dialect.depth;
    if input.state.depth > limit { fail(input, ParseErrorKind::TooDeep { limit }) } else { Ok(()) }
}

fn prefix<'t>(input: &mut Input<'t>) -> Parsed<Prefix<Input<'t>, Term, ErrMode<Failure>>> {
    blanks(input)?;
    let position = input.current_token_start();
    let prefix = opt(alt((
        one_of('-').map(|_| Prefix(binding::SIGN, |i: &mut Input<'t>, operand| sign(i, true, operand))),
        one_of('+').map(|_| Prefix(binding::SIGN, |i: &mut Input<'t>, operand| sign(i, false, operand))),
        keyword("NOT").map(|_| Prefix(binding::NOT, not)),
    )))
    .parse_next(input)?;
    let Some(prefix) = prefix else { return fail_at(position, ParseErrorKind::Expected("a condition or a value")) };
    descend(input)?;
    Ok(prefix)
}

fn sign(input: &mut Input<'_>, negative: bool, operand: Term) -> Parsed<Term> {
    input.state.depth = input.state.depth.saturating_sub(1);
    let (start, depth) = (operand.start, operand.depth);
    let operand = Box::new(operand.expression()?);
    Term::of_expression(input, Expression::Sign { negative, operand }, start, depth)
}

fn not(input: &mut Input<'_>, operand: Term) -> Parsed<Term> {
    input.state.depth = input.state.depth.saturating_sub(1);
    let (start, depth) = (operand.start, operand.depth);
    let operand = Box::new(operand.predicate()?);
    Term::of_predicate(input, Predicate::Not(operand), start, depth)
}

fn infix<'t>(input: &mut Input<'t>) -> Parsed<InfixOperator<'t>> {
    blanks(input)?;
    alt((comparison, calculation, conjunction)).parse_next(input)
}

fn comparison<'t>(input: &mut Input<'t>) -> Parsed<InfixOperator<'t>> {
    let operator = alt((
        alt(("<>", "!=")).value(Comparison::NotEqual),
        "<=".value(Comparison::LessOrEqual),
        ">=".value(Comparison::GreaterOrEqual),
        '='.value(Comparison::Equal),
        '<'.value(Comparison::Less),
        '>'.value(Comparison::Greater),
    ))
    .parse_next(input)?;
    // The operator's meaning is part of the function, which cannot capture it.
    Ok(Infix::Neither(
        binding::COMPARISON,
        match operator {
            Comparison::Equal => |i, l, r| compare(i, Comparison::Equal, l, r),
            Comparison::NotEqual => |i, l, r| compare(i, Comparison::NotEqual, l, r),
            Comparison::Greater => |i, l, r| compare(i, Comparison::Greater, l, r),
            Comparison::GreaterOrEqual => |i, l, r| compare(i, Comparison::GreaterOrEqual, l, r),
            Comparison::Less => |i, l, r| compare(i, Comparison::Less, l, r),
            Comparison::LessOrEqual => |i, l, r| compare(i, Comparison::LessOrEqual, l, r),
        },
    ))
}

fn calculation<'t>(input: &mut Input<'t>) -> Parsed<InfixOperator<'t>> {
    Ok(match one_of(['+', '-', '*', '/', '%']).parse_next(input)? {
        '+' => Infix::Left(binding::SUM, |i, l, r| arithmetic(i, Operator::Add, l, r)),
        '-' => Infix::Left(binding::SUM, |i, l, r| arithmetic(i, Operator::Subtract, l, r)),
        '*' => Infix::Left(binding::PRODUCT, |i, l, r| arithmetic(i, Operator::Multiply, l, r)),
        '/' => Infix::Left(binding::PRODUCT, |i, l, r| arithmetic(i, Operator::Divide, l, r)),
        _ => Infix::Left(binding::PRODUCT, |i, l, r| arithmetic(i, Operator::Remainder, l, r)),
    })
}

fn conjunction<'t>(input: &mut Input<'t>) -> Parsed<InfixOperator<'t>> {
    alt((
        keyword("AND").map(|_| Infix::Left(binding::AND, |i: &mut Input<'t>, l, r| chain(i, true, l, r))),
        keyword("OR").map(|_| Infix::Left(binding::OR, |i: &mut Input<'t>, l, r| chain(i, false, l, r))),
    ))
    .parse_next(input)
}

fn compare(input: &mut Input<'_>, comparison: Comparison, left: Term, right: Term) -> Parsed<Term> {
    let (start, depth) = (left.start, left.depth.max(right.depth));
    let predicate = Predicate::Compare { comparison, left: left.expression()?, right: right.expression()? };
    Term::of_predicate(input, predicate, start, depth)
}

fn arithmetic(input: &mut Input<'_>, operator: Operator, left: Term, right: Term) -> Parsed<Term> {
    let (start, depth) = (left.start, left.depth.max(right.depth));
    let operands = Box::new((left.expression()?, right.expression()?));
    Term::of_expression(input, Expression::Arithmetic { operator, operands }, start, depth)
}

/// Continues a chain of ANDs (or of ORs), or starts one: a chain is one level of the tree, however long.
fn chain(input: &mut Input<'_>, and: bool, left: Term, right: Term) -> Parsed<Term> {
    let (start, closed, left_depth, right_depth) = (left.start, left.closed, left.depth, right.depth);
    let (mut items, depth) = match left.predicate()? {
        Predicate::And(items) if and && !closed => (items, (left_depth - 1).max(right_depth)),
        Predicate::Or(items) if !and && !closed => (items, (left_depth - 1).max(right_depth)),
        first => (vec![first], left_depth.max(right_depth)),
    };
    items.push(right.predicate()?);
    let predicate = if and { Predicate::And(items) } else { Predicate::Or(items) };
    Term::of_predicate(input, predicate, start, depth)
}

fn postfix<'t>(input: &mut Input<'t>) -> Parsed<Postfix<Input<'t>, Term, ErrMode<Failure>>> {
    alt((
        keyword("IS").map(|_| Postfix(binding::COMPARISON, is_null)),
        keyword("IN").map(|_| Postfix(binding::COMPARISON, |i: &mut Input<'t>, operand| is_in(i, operand, false))),
        keyword("LIKE").map(|_| Postfix(binding::COMPARISON, |i: &mut Input<'t>, operand| like(i, operand, false))),
        preceded(keyword("NOT"), keyword("IN"))
            .map(|_| Postfix(binding::COMPARISON, |i: &mut Input<'t>, operand| is_in(i, operand, true))),
        preceded(keyword("NOT"), keyword("LIKE"))
            .map(|_| Postfix(binding::COMPARISON, |i: &mut Input<'t>, operand| like(i, operand, true))),
    ))
    .parse_next(input)
}

fn is_null(input: &mut Input<'_>, operand: Term) -> Parsed<Term> {
    let negated = opt(keyword("NOT")).parse_next(input)?.is_some();
    blanks(input)?;
    let position = input.current_token_start();
    if opt(keyword("NULL")).parse_next(input)?.is_none() {
        return fail_at(position, ParseErrorKind::Expected(if negated { "NULL" } else { "NULL or NOT NULL" }));
    }
    let (start, depth) = (operand.start, operand.depth);
    let Node::Expression(expression) = operand.node else {
        return fail_at(start, ParseErrorKind::Expected("a property"));
    };
    let Expression::Property(property) = *expression else {
        return fail_at(start, ParseErrorKind::Expected("a property"));
    };
    Term::of_predicate(input, Predicate::IsNull { property, negated }, start, depth)
}

fn is_in(input: &mut Input<'_>, operand: Term, negated: bool) -> Parsed<Term> {
    let (start, mut depth) = (operand.start, operand.depth);
    let operand = operand.expression()?;
    expect(input, "(", "`(`")?;
    let items = nested(input, |input| {
        let mut items = Vec::new();
        loop {
            let item = term(input, binding::OR)?;
            depth = depth.max(item.depth);
            items.push(item.expression()?);
            if opt(symbol(",")).parse_next(input)?.is_none() {
                break;
            }
        }
        expect(input, ")", "an operator, `,` or `)`")?;
        Ok(items)
    })?;
    Term::of_predicate(input, Predicate::In { operand, items, negated }, start, depth)
}

fn like(input: &mut Input<'_>, operand: Term, negated: bool) -> Parsed<Term> {
    let (start, mut depth) = (operand.start, operand.depth);
    let operand = operand.expression()?;
    let (pattern, escape) = nested(input, |input| {
        let pattern = term(input, binding::SUM)?;
        depth = depth.max(pattern.depth);
        let mut escape = None;
        if opt(keyword("ESCAPE")).parse_next(input)?.is_some() {
            let term = term(input, binding::SUM)?;
            depth = depth.max(term.depth);
            let position = term.start;
            let term = term.expression()?;
            if !can_escape(&term) {
                return fail_at(position, ParseErrorKind::EscapeCharacter);
            }
            escape = Some(term);
        }
        Ok((pattern.expression()?, escape))
    })?;
    match Predicate::like(operand, pattern, escape, negated) {
        Ok(predicate) => Term::of_predicate(input, predicate, start, depth),
        Err(TooLong) => fail_at(start, ParseErrorKind::PatternTooLong),
    }
}

/// Whether this can be an escape character, as far as that can be seen without a message.
fn can_escape(expression: &Expression) -> bool {
    match expression {
        Expression::Constant(Constant::String(text)) => text.chars().count() == 1,
        Expression::Constant(_) | Expression::NewId => false,
        Expression::Parameter(_, value) => value.as_str().is_some_and(|text| text.chars().count() == 1),
        _ => true,
    }
}

/// A constant, parameter, property, function, or anything in parentheses.
fn operand(input: &mut Input<'_>) -> Parsed<Term> {
    blanks(input)?;
    let start = input.current_token_start();
    let mut ahead = input.chars();
    let (first, second) = (ahead.next(), ahead.next());
    let node = match first {
        Some('(') => {
            one_of('(').parse_next(input)?;
            let inner = nested(input, |input| {
                let inner = term(input, binding::OR)?;
                expect(input, ")", "an operator or `)`")?;
                Ok(inner)
            })?;
            return Ok(Term { start, closed: true, ..inner });
        }
        Some('\'') => Expression::Constant(Constant::String(quoted(input, '\'')?)),
        Some('0'..='9' | '.') => number(input)?,
        Some('-') if matches!(second, Some('0'..='9' | '.')) => number(input)?,
        Some('@') => parameter(input)?,
        Some('[' | '"') => Expression::Property(property(input)?.0),
        Some(c) if c.is_alphabetic() => return named(input, start),
        _ => return backtrack(input, ParseErrorKind::Expected("a condition or a value")),
    };
    Term::of_expression(input, node, start, 0)
}

/// What starts with a word: a constant, `EXISTS`, a function or a property.
fn named(input: &mut Input<'_>, start: usize) -> Parsed<Term> {
    let checkpoint = input.checkpoint();
    let word = word(input)?;
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    let expression = if is("TRUE") || is("FALSE") {
        Expression::Constant(Constant::Boolean(is("TRUE")))
    } else if is("NULL") {
        Expression::Constant(Constant::Null)
    } else if is("EXISTS") {
        expect(input, "(", "`(`")?;
        let (property, _) = property(input)?;
        expect(input, ")", "`)`")?;
        return Term::of_predicate(input, Predicate::Exists(property), start, 0);
    } else if is_reserved(word) {
        // `NOT` is left to the operators; the others are out of place.
        return backtrack(input, ParseErrorKind::Expected("a condition or a value"));
    } else if opt(symbol("(")).parse_next(input)?.is_some() {
        return function(input, word, start);
    } else {
        input.reset(&checkpoint);
        Expression::Property(property(input)?.0)
    };
    Term::of_expression(input, expression, start, 0)
}

/// What follows the parenthesis behind a function's name.
fn function(input: &mut Input<'_>, name: &str, start: usize) -> Parsed<Term> {
    if name.eq_ignore_ascii_case("newid") {
        expect(input, ")", "`)`")?;
        return Term::of_expression(input, Expression::NewId, start, 0);
    }
    if !name.eq_ignore_ascii_case("property") && !name.eq_ignore_ascii_case("p") {
        return fail_at(start, ParseErrorKind::UnknownFunction);
    }
    let name = nested(input, |input| {
        let name = term(input, binding::OR)?;
        expect(input, ")", "an operator or `)`")?;
        Ok(name)
    })?;
    let depth = name.depth;
    let name = Box::new(name.expression()?);
    Term::of_expression(input, Expression::Lookup(name), start, depth)
}

/// `[scope.]name`, and where it starts.
fn property(input: &mut Input<'_>) -> Parsed<(Property, usize)> {
    blanks(input)?;
    let start = input.current_token_start();
    let bare = input.chars().next().is_some_and(char::is_alphabetic);
    let first = name(input)?;
    if !bare || opt(symbol(".")).parse_next(input)?.is_none() {
        return Ok((Property::User(first), start));
    }
    let system = if first.eq_ignore_ascii_case("sys") {
        true
    } else if first.eq_ignore_ascii_case("user") {
        false
    } else {
        return fail_at(start, ParseErrorKind::UnknownScope);
    };
    blanks(input)?;
    let position = input.current_token_start();
    let name = name(input)?;
    if !system {
        return Ok((Property::User(name), start));
    }
    match SystemProperty::from_name(&name) {
        Some(property) => Ok((Property::System(property), start)),
        None => fail_at(position, ParseErrorKind::UnknownSystemProperty),
    }
}

/// A name: a word that is no keyword, or anything in brackets or double quotes.
fn name(input: &mut Input<'_>) -> Parsed<Box<str>> {
    let position = input.current_token_start();
    let name = match input.chars().next() {
        Some('[') => quoted(input, ']')?,
        Some('"') => quoted(input, '"')?,
        _ => match opt(word).parse_next(input)? {
            Some(word) if !is_reserved(word) => word.into(),
            _ => return fail_at(position, ParseErrorKind::Expected("the name of a property")),
        },
    };
    if name.is_empty() { fail_at(position, ParseErrorKind::EmptyName) } else { Ok(name) }
}

/// The text between the next character and `closing`, which stands for itself where it stands twice.
fn quoted(input: &mut Input<'_>, closing: char) -> Parsed<Box<str>> {
    let position = input.current_token_start();
    input.next_token();
    let mut text = String::new();
    loop {
        text.push_str(take_while(0.., |c| c != closing).parse_next(input)?);
        if input.next_token().is_none() {
            return fail_at(position, ParseErrorKind::Unterminated);
        }
        if opt(one_of(closing)).parse_next(input)?.is_none() {
            return Ok(text.into());
        }
        text.push(closing);
    }
}

/// An integer, decimal or scientific constant, perhaps with a minus.
fn number(input: &mut Input<'_>) -> Parsed<Expression> {
    let position = input.current_token_start();
    let digits = |least: usize| take_while(least.., '0'..='9');
    let whole = (opt(one_of('-')), digits(0)).take().parse_next(input)?;
    let fraction: Option<&str> = opt((one_of('.'), digits(1)).take()).parse_next(input)?;
    if fraction.is_none() && !whole.ends_with(|c: char| c.is_ascii_digit()) {
        return fail_at(position, ParseErrorKind::Expected("a number"));
    }
    let exponent: Option<&str> =
        opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digits(1)).take()).parse_next(input)?;
    if input.chars().next().is_some_and(|c| c == '_' || c == '.' || c.is_alphanumeric()) {
        return fail(input, ParseErrorKind::Expected("the end of the number"));
    }
    let constant = match (fraction, exponent) {
        (None, None) => whole.parse().map(Constant::Integer).ok(),
        _ => {
            let text = [whole, fraction.unwrap_or_default(), exponent.unwrap_or_default()].concat();
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Constant::Double)
        }
    };
    match constant {
        Some(constant) => Ok(Expression::Constant(constant)),
        None => fail_at(position, ParseErrorKind::NumberRange),
    }
}

fn parameter(input: &mut Input<'_>) -> Parsed<Expression> {
    let position = input.current_token_start();
    input.next_token();
    let name = take_while(0.., |c: char| c == '_' || c.is_alphanumeric()).parse_next(input)?;
    if name.is_empty() {
        return fail_at(position, ParseErrorKind::Expected("the name of a parameter behind `@`"));
    }
    let bound = input.state.parameters.iter().find(|(key, _)| same_name(key.strip_prefix('@').unwrap_or(key), name));
    match bound {
        Some((_, value)) => Ok(Expression::Parameter(name.into(), value.clone())),
        None => fail_at(position, ParseErrorKind::UnboundParameter),
    }
}

/// A letter, and letters, digits and underscores behind it.
fn word<'t>(input: &mut Input<'t>) -> Parsed<&'t str> {
    (one_of(char::is_alphabetic), take_while(0.., |c: char| c == '_' || c.is_alphanumeric())).take().parse_next(input)
}

fn keyword<'t>(keyword: &'static str) -> impl Parser<Input<'t>, &'t str, ErrMode<Failure>> {
    preceded(blanks, word.verify(move |word: &str| word.eq_ignore_ascii_case(keyword)))
}

fn symbol<'t>(symbol: &'static str) -> impl Parser<Input<'t>, &'t str, ErrMode<Failure>> {
    preceded(blanks, literal(symbol))
}

fn expect(input: &mut Input<'_>, wanted: &'static str, expected: &'static str) -> Parsed<()> {
    blanks(input)?;
    match opt(symbol(wanted)).parse_next(input)? {
        Some(_) => Ok(()),
        None => fail(input, ParseErrorKind::Expected(expected)),
    }
}

fn end(input: &mut Input<'_>, expected: &'static str) -> Parsed<()> {
    blanks(input)?;
    if input.is_empty() { Ok(()) } else { fail(input, ParseErrorKind::Expected(expected)) }
}

fn blanks(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

fn fail<T>(input: &Input<'_>, kind: ParseErrorKind) -> Parsed<T> {
    fail_at(input.current_token_start(), kind)
}

fn fail_at<T>(position: usize, kind: ParseErrorKind) -> Parsed<T> {
    Err(ErrMode::Cut(Failure { position, kind }))
}

fn backtrack<T>(input: &Input<'_>, kind: ParseErrorKind) -> Parsed<T> {
    Err(ErrMode::Backtrack(Failure { position: input.current_token_start(), kind }))
}

impl Term {
    /// A term over others that are `depth` levels deep.
    fn of_predicate(input: &Input<'_>, predicate: Predicate, start: usize, depth: usize) -> Parsed<Self> {
        Self::new(input, Node::Predicate(Box::new(predicate)), start, depth)
    }

    /// A term over others that are `depth` levels deep.
    fn of_expression(input: &Input<'_>, expression: Expression, start: usize, depth: usize) -> Parsed<Self> {
        Self::new(input, Node::Expression(Box::new(expression)), start, depth)
    }

    fn new(input: &Input<'_>, node: Node, start: usize, depth: usize) -> Parsed<Self> {
        let limit = input.state.dialect.depth;
        if depth >= limit {
            return fail_at(start, ParseErrorKind::TooDeep { limit });
        }
        Ok(Self { node, start, depth: depth + 1, closed: false })
    }

    fn predicate(self) -> Parsed<Predicate> {
        match self.node {
            Node::Predicate(predicate) => Ok(*predicate),
            Node::Expression(_) => fail_at(self.start, ParseErrorKind::Expected("a condition")),
        }
    }

    fn expression(self) -> Parsed<Expression> {
        match self.node {
            Node::Expression(expression) => Ok(*expression),
            Node::Predicate(_) => fail_at(self.start, ParseErrorKind::Expected("a value")),
        }
    }
}
