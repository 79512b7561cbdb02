// wiring: entries of a flat spec taken out and put in, their readers wired anew.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/graph_spec.h"

namespace expgraph {

/// Readers of `paths` outside of them read the first inputs of `paths` instead. Error when there
/// is no such input, or when a member or a named output is read.
void bypass(FlatSpec& spec, const std::set<std::string>& paths);

/// Bypasses entries and takes them out, and with them the groups that this leaves empty.
void remove_entries(FlatSpec& spec, std::set<std::string> paths);

/// Before: the first input of `anchor` becomes `last`. After: the readers of `anchor` read `last`.
void wire_in(FlatSpec& spec, const std::string& anchor, const std::string& last, bool before);

/// Forgets the inputs of groups that no member reads any longer.
void drop_unread_inputs(FlatSpec& spec);

/// Places in spec.nodes: of an entry, and after it and all its members.
size_t place_of(const FlatSpec& spec, std::string_view path);
size_t place_after(const FlatSpec& spec, std::string_view path);

/// Takes an entry and its members out of the list, as they are.
std::vector<SpecNode> take_out(FlatSpec& spec, std::string_view path);
void put_in(FlatSpec& spec, size_t place, std::vector<SpecNode> nodes);

}  // namespace expgraph
