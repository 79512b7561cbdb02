// graph_parse: text of a graph -> Graph; every mistake is an Error at its line and column.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <map>
#include <utility>

#include "core/ir/graph_words.h"
#include "core/ir/op_schema.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr int kMaxDepth = 8;

struct Token {
  enum class Kind { word, text, value, mark, end };
  Kind kind = Kind::end;
  std::string text;  ///< of a value without its %
  Location where;
  bool is(std::string_view mark) const {
    return (kind == Kind::mark || kind == Kind::word) && text == mark;
  }
  std::string shown() const {
    if (kind == Kind::end) return "the end of the text";
    return kind == Kind::value ? fmt::format("'%{}'", text) : fmt::format("'{}'", text);
  }
};

/// Text -> tokens, one at a time; '#' starts a comment.
class Lexer {
 public:
  explicit Lexer(std::shared_ptr<const SourceText> source) : source_(std::move(source)) {}

  Token next() {
    skip_blank();
    Token token{.where = {source_, line_, column_, 1}};
    if (at_ == text().size()) return token;
    const char c = text()[at_];
    if (c == '"') {
      token.kind = Token::Kind::text;
      token.text = quoted(token.where);
    } else if (c == '%' || is_word_character(c)) {
      token.kind = c == '%' ? Token::Kind::value : Token::Kind::word;
      if (c == '%') advance();
      while (at_ < text().size() && is_word_character(text()[at_])) token.text += advance();
    } else {
      token.kind = Token::Kind::mark;
      token.text = advance();
    }
    token.where.length = column_ - token.where.column;
    return token;
  }

 private:
  const std::string& text() const { return source_->text; }

  char advance() {
    const char c = text()[at_++];
    column_ = c == '\n' ? 1 : column_ + 1;
    line_ += c == '\n';
    return c;
  }

  void skip_blank() {
    while (at_ < text().size()) {
      const char c = text()[at_];
      if (c == '#') {
        while (at_ < text().size() && text()[at_] != '\n') advance();
      } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
        advance();
      } else {
        return;
      }
    }
  }

  std::string quoted(const Location& start) {
    std::string out;
    advance();
    while (at_ < text().size() && text()[at_] != '\n') {
      const char c = advance();
      if (c == '"') return out;
      out += c == '\\' ? escaped(start) : c;
    }
    throw Error("a quoted text must end on its line", start);
  }

  /// After a backslash: a quote, a backslash, or xHH.
  char escaped(const Location& start) {
    const std::string_view rest = std::string_view(text()).substr(at_, 3);
    if (!rest.empty() && (rest[0] == '"' || rest[0] == '\\')) return advance();
    unsigned code = 0;
    if (rest.size() == 3 && rest[0] == 'x' &&
        std::from_chars(rest.data() + 1, rest.data() + 3, code, 16).ptr == rest.data() + 3) {
      for (int k = 0; k < 3; ++k) advance();
      return static_cast<char>(code);
    }
    throw Error("a backslash is followed by \", \\ or xHH", start);
  }

  std::shared_ptr<const SourceText> source_;
  size_t at_ = 0;
  int line_ = 1;
  int column_ = 1;
};

class Parser {
 public:
  explicit Parser(std::shared_ptr<const SourceText> source) : lexer_(std::move(source)) { take(); }

  Graph parse() {
    expect("graph");
    Graph graph = block(0);
    if (token_.kind != Token::Kind::end) unexpected("the end of the text");
    return graph;
  }

 private:
  using Names = std::map<std::string, ValueId>;

  Token take() { return std::exchange(token_, lexer_.next()); }

  [[noreturn]] void unexpected(std::string_view wanted) const {
    throw Error(fmt::format("expected {}, got {}", wanted, token_.shown()), token_.where);
  }
  void expect(std::string_view mark) {
    if (!token_.is(mark)) unexpected(fmt::format("'{}'", mark));
    take();
  }
  bool accept(std::string_view mark) {
    if (!token_.is(mark)) return false;
    take();
    return true;
  }
  Token word(std::string_view wanted) {
    if (token_.kind != Token::Kind::word) unexpected(wanted);
    return take();
  }
  Token name(std::string_view wanted) {
    if (token_.kind != Token::Kind::word && token_.kind != Token::Kind::text) unexpected(wanted);
    return take();
  }
  Token value_name() {
    if (token_.kind != Token::Kind::value || token_.text.empty()) unexpected("a value like %1");
    return take();
  }

  /// Entries between `open` and `close`, with commas.
  template <typename Entry>
  void list(std::string_view open, std::string_view close, Entry entry) {
    expect(open);
    if (accept(close)) return;
    do entry();
    while (accept(","));
    expect(close);
  }

  template <typename Number>
  static std::optional<Number> number_of(const std::string& text) {
    Number number{};
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return number;
  }
  template <typename Number>
  Number number(std::string_view wanted) {
    const std::optional<Number> found =
        token_.kind == Token::Kind::word ? number_of<Number>(token_.text) : std::nullopt;
    if (!found) unexpected(wanted);
    take();
    return *found;
  }

  std::vector<int64_t> integers() {
    std::vector<int64_t> numbers;
    list("[", "]", [&] { numbers.push_back(number<int64_t>("an integer")); });
    return numbers;
  }

  TensorType type() {
    const Token dtype = word("a type like f32[2,3]");
    const std::optional<DType> known = parse_dtype(dtype.text);
    if (!known) {
      throw Error(
          fmt::format("no element type '{}', expected f32, f64, bf16, f16, i32 or u8", dtype.text),
          dtype.where);
    }
    return {*known, integers()};
  }

  AttributeValue attribute_value() {
    if (token_.kind == Token::Kind::text) return take().text;
    if (token_.is("[")) return attribute_list();
    if (accept("true")) return true;
    if (accept("false")) return false;
    const std::optional<int64_t> integer =
        token_.kind == Token::Kind::word ? number_of<int64_t>(token_.text) : std::nullopt;
    if (!integer) return number<double>("an attribute's value");
    take();
    return *integer;
  }

  /// Integers as long as all are; the schema makes them reals where it wants those.
  AttributeValue attribute_list() {
    std::vector<int64_t> whole;
    std::vector<double> reals;
    list("[", "]", [&] {
      const std::optional<int64_t> integer = number_of<int64_t>(token_.text);
      if (integer) whole.push_back(*integer);
      reals.push_back(number<double>("a number"));
    });
    if (whole.size() == reals.size()) return whole;
    return reals;
  }

  ValueId reference(const Names& names) {
    const Token used = value_name();
    const auto found = names.find(used.text);
    if (found != names.end()) return found->second;
    throw Error(fmt::format("no value %{} before this line", used.text), used.where);
  }

  static void define(Names& names, const Token& token, ValueId id) {
    if (names.emplace(token.text, id).second) return;
    throw Error(fmt::format("value %{} is defined twice", token.text), token.where);
  }

  Initialiser initialiser() {
    const Token kind = word("an initialiser like uniform(-1, 1)");
    Initialiser out;
    for (size_t k = 0; k < kInitialiserNames.size(); ++k) {
      if (kInitialiserNames[k] != kind.text) continue;
      out.kind = static_cast<Initialiser::Kind>(k);
      expect("(");
      if (out.kind == Initialiser::Kind::copy) {
        out.of = name("the name of a state").text;
      } else {
        out.a = number<double>("a number");
      }
      if (out.kind != Initialiser::Kind::constant && out.kind != Initialiser::Kind::copy) {
        expect(",");
        out.b = number<double>("a number");
      }
      expect(")");
      return out;
    }
    throw Error(fmt::format("no initialiser '{}', expected {}", kind.text,
                            fmt::join(kInitialiserNames, ", ")),
                kind.where);
  }

  ValueId leaf(Graph& graph, LeafKind kind) {
    const Token named = name("the name of a leaf");
    if (graph.find_leaf(named.text) != nullptr) {
      throw Error(fmt::format("two leaves are named '{}'", named.text), named.where);
    }
    expect(":");
    const Location at = token_.where;
    TensorType leaf_type = type();
    Leaf made{.kind = kind, .name = named.text};
    if (kind == LeafKind::state) {
      made.initialiser = initialiser();
      made.trainable = accept("trainable");
    }
    if (kind == LeafKind::choice) {
      expect("bounds");
      made.choice.bounds = integers();
      if (accept("alternating")) made.choice.kind = ChoiceRule::Kind::alternating;
      if (accept("beta")) {
        made.choice.kind = ChoiceRule::Kind::beta;
        expect("(");
        made.choice.alpha = number<double>("a number");
        expect(")");
      }
      if (leaf_type.dtype != DType::i32 || leaf_type.rank() != 2 ||
          leaf_type.shape[1] != static_cast<int64_t>(made.choice.bounds.size())) {
        throw Error(
            fmt::format("choice '{}' is {} with {} bounds, expected i32[N,{}]", made.name,
                        leaf_type.str(), made.choice.bounds.size(), made.choice.bounds.size()),
            at);
      }
    }
    try {
      return graph.add_leaf(std::move(made), std::move(leaf_type));
    } catch (Error& error) {
      error.at(at);
      throw;
    }
  }

  Attributes attributes() {
    Attributes out;
    if (!token_.is("{")) return out;
    list("{", "}", [&] {
      const Token key = word("the name of an attribute");
      if (out.has(key.text)) {
        throw Error(fmt::format("attribute '{}' is given twice", key.text), key.where);
      }
      expect("=");
      out.set(key.text, attribute_value());
    });
    return out;
  }

  const OpSchema& operator_named(const Token& token) const {
    const OpSchema* found = find_op(token.text);
    if (found != nullptr) return *found;
    std::vector<std::string> names;
    for (const OpSchema* op : all_ops()) names.emplace_back(op->name);
    Error error(fmt::format("no operator '{}'", token.text), token.where);
    const std::string near = did_you_mean(token.text, names);
    if (!near.empty()) error.note(near);
    throw error;
  }

  using StatedTypes = std::vector<std::pair<TensorType, Location>>;

  /// ": f32[2], u8[2]"; may be left out.
  StatedTypes stated_types() {
    StatedTypes stated;
    if (!accept(":")) return stated;
    do {
      const Location at = token_.where;
      stated.emplace_back(type(), at);
    } while (accept(","));
    return stated;
  }

  static void name_outputs(const Node& made, Names& names, const std::vector<Token>& outputs) {
    if (made.outputs.size() != outputs.size()) {
      throw Error(fmt::format("{} values are named, {} gives {}", outputs.size(), made.op->name,
                              made.outputs.size()),
                  made.where);
    }
    for (size_t k = 0; k < outputs.size(); ++k) define(names, outputs[k], made.outputs[k]);
  }

  static void check_types(const Graph& graph, const Node& made, const StatedTypes& stated) {
    if (stated.empty()) return;
    if (stated.size() != made.outputs.size()) {
      throw Error(fmt::format("{} types follow, {} gives {}", stated.size(), made.op->name,
                              made.outputs.size()),
                  stated[0].second);
    }
    for (size_t k = 0; k < stated.size(); ++k) {
      const TensorType& type = graph.type(made.outputs[k]);
      if (stated[k].first == type) continue;
      throw Error(fmt::format("{} gives {}, the text says {}", made.op->name, type.str(),
                              stated[k].first.str()),
                  stated[k].second);
    }
  }

  void node(Graph& graph, Names& names, const std::vector<Token>& outputs, int depth) {
    const Token op_name = word("an operator");
    const OpSchema& op = operator_named(op_name);
    std::vector<ValueId> inputs;
    list("(", ")", [&] { inputs.push_back(accept("_") ? ValueId{} : reference(names)); });
    Attributes given = attributes();
    const StatedTypes stated = stated_types();
    const std::string path = accept("@") ? name("a path").text : "";
    std::shared_ptr<const Graph> body;
    if (accept("body")) body = std::make_shared<const Graph>(block(depth + 1));
    const NodeId id = graph.add_node(op, std::move(given), std::move(inputs), path, op_name.where,
                                     std::move(body));
    name_outputs(graph.node(id), names, outputs);
    check_types(graph, graph.node(id), stated);
  }

  /// "%1, %2 = ..." or a node without outputs.
  void definition(Graph& graph, Names& names, int depth) {
    std::vector<Token> outputs;
    if (token_.kind == Token::Kind::value) {
      do outputs.push_back(value_name());
      while (accept(","));
      expect("=");
    }
    for (size_t k = 0; k < kLeafNames.size(); ++k) {
      if (outputs.size() != 1 || !accept(kLeafNames[k])) continue;
      define(names, outputs[0], leaf(graph, static_cast<LeafKind>(k)));
      return;
    }
    node(graph, names, outputs, depth);
  }

  void result(Graph& graph, const Names& names) {
    const Token named = name("the name of a result");
    for (const Result& other : graph.results()) {
      if (other.name != named.text) continue;
      throw Error(fmt::format("two results are named '{}'", named.text), named.where);
    }
    expect("=");
    graph.add_result(named.text, reference(names));
  }

  void update(Graph& graph, const Names& names) {
    const Token named = name("the name of a state");
    const Leaf* leaf = graph.find_leaf(named.text);
    if (leaf == nullptr || leaf->kind != LeafKind::state) {
      std::vector<std::string> states;
      for (const Leaf& other : graph.leaves()) {
        if (other.kind == LeafKind::state) states.push_back(other.name);
      }
      Error error(fmt::format("no state '{}'", named.text), named.where);
      const std::string near = did_you_mean(named.text, states);
      if (!near.empty()) error.note(near);
      throw error;
    }
    const ValueId state = leaf->value;
    for (const StateUpdate& other : graph.updates()) {
      if (other.state != state) continue;
      throw Error(fmt::format("state '{}' is updated twice", named.text), named.where);
    }
    expect("=");
    const Location at = token_.where;
    const ValueId value = reference(names);
    if (graph.type(state) != graph.type(value)) {
      throw Error(fmt::format("state '{}' is {}, its update {}", named.text,
                              graph.type(state).str(), graph.type(value).str()),
                  at);
    }
    graph.add_update(state, value);
  }

  /// NAME { statements }
  Graph block(int depth) {
    if (depth > kMaxDepth) {
      throw Error(fmt::format("bodies are nested more than {} deep", kMaxDepth), token_.where);
    }
    Graph graph(name("the name of a graph").text);
    Names names;
    expect("{");
    while (!accept("}")) {
      if (accept("result")) {
        result(graph, names);
      } else if (accept("update")) {
        update(graph, names);
      } else if (token_.kind == Token::Kind::value || token_.kind == Token::Kind::word) {
        definition(graph, names, depth);
      } else {
        unexpected("a line of a graph or '}'");
      }
    }
    return graph;
  }

  Lexer lexer_;
  Token token_;
};

}  // namespace

Graph parse_graph(std::string_view text, std::string_view source_name) {
  return Parser(std::make_shared<const SourceText>(
                    SourceText{std::string(source_name), std::string(text)}))
      .parse();
}

}  // namespace expgraph
